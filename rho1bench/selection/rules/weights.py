"""Rules that weigh tokens; the loss is ``sum(w * l) / sum(w)`` over the optimizer step, so only proportions count.

No gradient flows through a weight. Letters: l loss of the model being trained, H its entropy, p = exp(-l), r loss of
the reference, t place in the block.
"""

from __future__ import annotations

from torch import Tensor

from rho1bench.recipe.models.built_in_rules import EntropyWeight, Ramp, SoftExcess
from rho1bench.selection.rule import ScoreInputs, built_in

_LARGEST = 60.0
"""Largest exponent of a softmax weight: exp(60) is 1e26, and a step's sum of such weights is finite in float32."""


@built_in
def soft_excess_loss(inputs: ScoreInputs) -> Tensor:
    """Weigh by ``sigmoid((l - r) / temperature)``, or by the softmax of it over the optimizer step.

    Rho-1's excess loss as a weight, which its appendix C leaves open ("reweighting"). Softmax weights above exp(60) are
    cut there.
    """
    parameters = inputs.parameters(SoftExcess)
    excess = (inputs["losses"] - inputs["reference.losses"]) / parameters.temperature
    return excess.sigmoid() if parameters.shape == "sigmoid" else excess.clamp(max=_LARGEST).exp()


@built_in
def probability_weight(inputs: ScoreInputs) -> Tensor:
    """Weigh by p (DFT, arXiv 2508.05629).

    Departure: DFT fine-tunes, and divides by the number of tokens; here by the sum of the weights, as with every rule,
    so that the loss does not shrink with p.
    """
    return (-inputs["losses"]).exp()


@built_in
def entropy_weight(inputs: ScoreInputs) -> Tensor:
    """Weigh by ``(offset + H) ** power``.

    MiLe loss (arXiv 2310.19531) with its defaults, offset 1 and power 1, divides by the mean weight of the batch: the
    same loss. EAFT (arXiv 2601.02151) is near with offset 0: it takes the entropy of the 20 likeliest tokens instead
    of the whole distribution's, and divides by the number of tokens.
    """
    parameters = inputs.parameters(EntropyWeight)
    return (inputs["entropies"].clamp(min=0.0) + parameters.offset) ** parameters.power


@built_in
def position_ramp(inputs: ScoreInputs) -> Tensor:
    """Weigh by ``tanh(t / length)``: the first tokens of a block, which have little context, count less.

    A public speedrun entry of 2026 (length 10, one seed). The first target of a block stands at t = 1.
    """
    return (inputs["block_positions"].float() / inputs.parameters(Ramp).length).tanh()
