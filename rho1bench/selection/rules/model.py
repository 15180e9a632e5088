"""Rules that rank by the model being trained alone: now, or beside an earlier self.

Letters: l its loss, H its entropy, p = exp(-l), h loss of its earlier self.
"""

from __future__ import annotations

from torch import Tensor

from rho1bench.selection.rule import ScoreInputs, built_in


@built_in
def training_loss(inputs: ScoreInputs) -> Tensor:
    """Keep high l.

    ESLM (arXiv 2505.19893) keeps the tokens above the value at risk of their losses, a quantile of the batch: the same
    choice.
    """
    return inputs["losses"]


@built_in
def model_entropy(inputs: ScoreInputs) -> Tensor:
    """Keep high H, the entropy of the model's next-token distribution (ESLM, arXiv 2505.19893, second variant)."""
    return inputs["entropies"]


@built_in
def drop_low_probability(inputs: ScoreInputs) -> Tensor:
    """Keep high p, which is low l: what the model finds least likely is dropped (ProFit, arXiv 2601.09195).

    Departure: ProFit fine-tunes, and drops what lies below a fixed probability; here the ratio says how much is kept.
    """
    return -inputs["losses"]


@built_in
def self_gain(inputs: ScoreInputs) -> Tensor:
    """Keep high h - l: what the model has learnt since its earlier self (ssToken, arXiv 2510.18250, its "REL").

    Departures: ssToken adds the attention that a token pays to the prompt, which is left out. Its earlier self is the
    base model (here: token_scores with a stage called ``earlier``), or a moving average (``moving_average``).
    """
    return inputs["earlier.losses"] - inputs["losses"]


@built_in
def reversed_self_gain(inputs: ScoreInputs) -> Tensor:
    """Keep high l - h: what the model has forgotten since its earlier self, the other sign of self_gain.

    Public code disagrees in the sign (edu-llm's study of 2026 ranks l - h), so both can be run.
    """
    return inputs["losses"] - inputs["earlier.losses"]
