"""Our own selection rules, as a recipe sees them; their code is in ``rho1bench.selection.rules`` (section 2.2, 3.4).

Letters: l loss of the model being trained, H its entropy, p = exp(-l); r and Hr those of the reference, b loss of the
model that training starts from, h loss of an earlier self, t place in the block.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rho1bench.recipe.models.rule_specs import Parameters, RuleSpec

Positive = Annotated[float, Field(gt=0)]
RHO1 = "Rho-1, arXiv 2404.07965"
SS_TOKEN = "ssToken, arXiv 2510.18250"


class Temperature(Parameters):
    """How much a difference of losses counts."""

    temperature: Positive = 1.0
    """Nats; the higher, the more alike all tokens."""


class SoftExcess(Temperature):
    """How excess losses become weights."""

    shape: Literal["sigmoid", "softmax"] = "sigmoid"


class EntropyWeight(Parameters):
    """``(offset + H) ** power``."""

    power: Positive = 1.0
    offset: Annotated[float, Field(ge=0)] = 1.0
    """1: MiLe loss. 0: a token that the model is sure of weighs nothing, as in EAFT."""


class Ramp(Parameters):
    """``tanh(t / length)``."""

    length: Positive = 10.0
    """Tokens."""


_SPECS = (
    RuleSpec("excess_loss", ("losses", "reference.losses"), summary="high l - r", source=f"{RHO1}, equation 3"),
    RuleSpec("reference_loss", ("reference.losses",), summary="low r", source=f"{RHO1}, section 3.4"),
    RuleSpec("reference_entropy", ("reference.entropies",), summary="low Hr", source=f"{RHO1}, section 3.4"),
    RuleSpec(
        "reversed_excess_loss",
        ("losses", "reference.losses"),
        summary="high r - l",
        source="sign control of excess_loss",
    ),
    RuleSpec(
        "sampled_excess_loss",
        ("losses", "reference.losses", "token_positions"),
        parameters=Temperature,
        summary="drawn by softmax(l - r)",
        source=f"stochastic selection of student projects; {RHO1}, appendix C",
    ),
    RuleSpec(
        "middle_reference_loss",
        ("reference.loss_ranks",),
        summary="r near its median",
        source="document pruning, arXiv 2309.04564",
    ),
    RuleSpec(
        "base_excess_loss",
        ("base.losses", "reference.losses"),
        summary="high b - r",
        source="Token Cleaning, arXiv 2502.01968",
    ),
    RuleSpec(
        "document_excess_loss",
        ("base.losses", "reference.losses", "document_ids", "eligible"),
        summary="whole documents by mean b - r",
        source="users' question: is the token level better than a document filter?",
    ),
    RuleSpec("training_loss", ("losses",), summary="high l", source="ESLM, arXiv 2505.19893"),
    RuleSpec("model_entropy", ("entropies",), summary="high H", source="ESLM, arXiv 2505.19893, second variant"),
    RuleSpec("drop_low_probability", ("losses",), summary="high p", source="ProFit, arXiv 2601.09195"),
    RuleSpec("self_gain", ("losses", "earlier.losses"), summary="high h - l", source=SS_TOKEN),
    RuleSpec(
        "reversed_self_gain",
        ("losses", "earlier.losses"),
        summary="high l - h",
        source=f"the other sign of {SS_TOKEN}, as public code has it too",
    ),
    RuleSpec(
        "soft_excess_loss",
        ("losses", "reference.losses"),
        gives="weights",
        parameters=SoftExcess,
        summary="sigmoid or softmax of l - r",
        source=f"{RHO1}, appendix C (left open there)",
    ),
    RuleSpec("probability_weight", ("losses",), gives="weights", summary="p", source="DFT, arXiv 2508.05629"),
    RuleSpec(
        "entropy_weight",
        ("entropies",),
        gives="weights",
        parameters=EntropyWeight,
        summary="(1 + H)",
        source="MiLe loss, arXiv 2310.19531; EAFT, arXiv 2601.02151",
    ),
    RuleSpec(
        "position_ramp",
        ("block_positions",),
        gives="weights",
        parameters=Ramp,
        summary="tanh(t / 10)",
        source="a public speedrun entry of 2026",
        even_over_positions=False,
    ),
    RuleSpec("full", ("token_positions",), summary="all tokens", source="the baseline: CLM"),
    RuleSpec("random", ("token_positions",), summary="any, by seed and token", source="the control of every claim"),
)
BUILT_IN = {spec.name: spec for spec in _SPECS}
