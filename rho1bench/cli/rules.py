"""``rho1bench rules``: the selection rules that a recipe may name, ours and those of other packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rho1bench.cli.console import WIDTH_OF_FILES, JsonFile, console, rule_names, show

if TYPE_CHECKING:
    from rho1bench.recipe.models.rule_listing import RuleFacts

_WIDTH = WIDTH_OF_FILES + 60


def rules(
    rule: Annotated[
        str | None,
        typer.Argument(help="One rule, with its parameters; default: a table of all.", autocompletion=rule_names),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """List the selection rules: what each keeps, reads and costs, its parameters and its source."""
    from dataclasses import asdict

    from rho1bench.errors import RunError
    from rho1bench.recipe.models.rule_listing import rule_facts
    from rho1bench.recipe.models.rule_specs import INPUTS
    from rho1bench.recipe.models.score_names import known_score, score_names

    if rule is None:
        everything = {
            "rules": [asdict(rule_facts(name)) for name in score_names()],
            "inputs": [asdict(one) for one in INPUTS],
        }
        show(everything, json_file, _print_all)
        return
    try:
        facts = rule_facts(known_score(rule))
    except ValueError as error:
        raise RunError(f"rule: {error}. `rho1bench rules` lists them.") from error
    show(asdict(facts), json_file, lambda: _print_one(facts))


def _print_one(facts: RuleFacts) -> None:
    out = console(_WIDTH)
    out.print(f"{facts.name}: {facts.summary}", highlight=False)
    for label, text in (
        ("gives", facts.gives),
        ("reads", ", ".join(facts.inputs)),
        ("costs", facts.cost),
        ("source", facts.source),
        ("from", facts.package),
        *((name, words) for name, words in facts.parameters.items()),
    ):
        out.print(f"  {label:<12} {text}", highlight=False, markup=False)


def _print_all() -> None:
    from rich.table import Table

    from rho1bench.recipe.models.rule_listing import COST_NOTE, rule_facts
    from rho1bench.recipe.models.rule_specs import INPUTS
    from rho1bench.recipe.models.score_names import score_names

    table = Table("rule", "keeps or weighs by", "gives", "reads", "costs", "parameters", "source", box=None)
    for name in score_names():
        facts = rule_facts(name)
        words = ", ".join(f"{key} {default}" for key, default in facts.defaults.items())
        source = facts.source if facts.package == "rho1bench" else f"{facts.source} ({facts.package})"
        table.add_row(name, facts.summary, facts.gives, ", ".join(facts.inputs), facts.cost, words, source)
    inputs = Table("input", "unit", "what it is", "costs", box=None)
    for one in INPUTS:
        inputs.add_row(one.name, one.unit, one.meaning, one.cost)
    out = console(_WIDTH)
    out.print(table)
    out.print(f"\n{COST_NOTE}\n", highlight=False)
    out.print("What a rule may read, one value a token; and as numbers step, total_steps and seed:", highlight=False)
    out.print(inputs)
