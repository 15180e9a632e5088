"""The selection rules in words: what ``rho1bench rules`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rho1bench.recipe.models.built_in_rules import BUILT_IN
from rho1bench.recipe.models.rule_specs import EARLIER, RuleSpec
from rho1bench.recipe.models.score_names import package, plugins, rule_spec

COST_NOTE = (
    "A store is one forward pass of a model over the corpus, once, and 4 bytes a token. +1 pass: one more forward pass "
    "of the model, only where an optimizer step has several micro-batches. An earlier self is a store, or with "
    "moving_average one more copy of the weights and one more forward pass a step."
)


@dataclass(frozen=True)
class RuleFacts:
    """One rule."""

    name: str
    summary: str
    gives: str
    inputs: tuple[str, ...]
    cost: str
    defaults: Mapping[str, object]
    parameters: Mapping[str, str]
    """What each parameter may be, and its default, in words."""
    source: str
    package: str
    """Name and version of the package that it comes from; ``rho1bench`` for our own."""


def rule_facts(name: str) -> RuleFacts:
    """Return what is known of a rule; raises KeyError for none, PluginError for one that cannot be used."""
    spec = rule_spec(name)
    fields = spec.parameters.model_fields
    schema = spec.parameters.model_json_schema().get("properties", {})
    return RuleFacts(
        name,
        spec.summary,
        spec.gives,
        spec.inputs,
        cost_of(spec),
        {key: field.default for key, field in fields.items()},
        {key: f"{_words(schema.get(key, {}))}, default {field.default}" for key, field in fields.items()},
        spec.source,
        "rho1bench" if name in BUILT_IN else package(plugins()[name]),
    )


def cost_of(spec: RuleSpec) -> str:
    """Return what a rule costs beside plain training, in a few words (:data:`COST_NOTE` explains them)."""
    stores = [store for store in spec.stores if store != EARLIER]
    parts = [f"{len(stores)} store{'s' if len(stores) > 1 else ''}"] if stores else []
    parts += ["an earlier self"] if EARLIER in spec.stores else []
    parts += ["+1 pass"] if spec.reads_model else []
    return ", ".join(parts) or "nothing"


def _words(schema: Mapping[str, object]) -> str:
    if isinstance(values := schema.get("enum"), list):
        return "one of " + ", ".join(map(str, values))
    kind = {"number": "a number", "integer": "a whole number", "string": "text", "boolean": "true or false"}
    bounds = [
        f"{word} {value}"
        for key, word in (("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"))
        if (value := schema.get(key)) is not None
    ]
    return " ".join([kind.get(str(schema.get("type")), "a value"), *bounds])
