"""Rules that rank by the scores of a reference model (paper sections 2.2 and 3.4).

Letters: l loss of the model being trained, r loss of the reference, Hr its entropy, b loss of the model that training
starts from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rho1bench.recipe.models.built_in_rules import Temperature
from rho1bench.selection.rule import ScoreInputs, built_in
from rho1bench.selection.rules.controls import uniform


@built_in
def excess_loss(inputs: ScoreInputs) -> Tensor:
    """Keep high l - r: what the reference finds easier than the model does (Rho-1, equation 3)."""
    return inputs["losses"] - inputs["reference.losses"]


@built_in
def reversed_excess_loss(inputs: ScoreInputs) -> Tensor:
    """Keep high r - l: the sign control, which must do worse than random where excess_loss does better."""
    return inputs["reference.losses"] - inputs["losses"]


@built_in
def sampled_excess_loss(inputs: ScoreInputs) -> Tensor:
    """Draw tokens without replacement, each with a chance in proportion to ``exp((l - r) / temperature)``.

    The highest sums of such a logarithm and Gumbel noise are exactly such a draw (Gumbel-top-k, arXiv 1903.06059). Of
    student projects that call Rho-1 with soft choices "stochastic"; they draw with torch's generator, we by seed and
    token, so that a run can be repeated. The noise has 24 bits.
    """
    temperature = inputs.parameters(Temperature).temperature
    share = uniform(inputs["token_positions"], inputs.seed) + 2.0**-25
    return (inputs["losses"] - inputs["reference.losses"]) / temperature - torch.log(-torch.log(share))


@built_in
def reference_loss(inputs: ScoreInputs) -> Tensor:
    """Keep low r: a token that the reference finds hard is less likely to be kept (Rho-1, section 3.4, table 3)."""
    return -inputs["reference.losses"]


@built_in
def reference_entropy(inputs: ScoreInputs) -> Tensor:
    """Keep low Hr: a token where the reference is unsure is less likely to be kept (Rho-1, section 3.4, table 3)."""
    return -inputs["reference.entropies"]


@built_in
def middle_reference_loss(inputs: ScoreInputs) -> Tensor:
    """Keep r near its median: ``-abs(rank - 1/2)``.

    After the pruning of documents by their perplexity (arXiv 2309.04564), whose middle keeps most; for tokens in a
    study of 2026 (edu-llm, "middle perplexity"). The rank is that among the losses of the whole corpus, so that it
    depends on no batch.
    """
    return -(inputs["reference.loss_ranks"] - 0.5).abs()


@built_in
def base_excess_loss(inputs: ScoreInputs) -> Tensor:
    """Keep high b - r: a token's score is fixed for the whole run (Token Cleaning, arXiv 2502.01968, fixed model).

    Departure: there one ranking over the whole corpus decides, so that a batch keeps more or less than another; here
    the fixed scores are ranked in the selection's scope, so that each optimizer step keeps the same share, as with
    every other rule. Their source fine-tunes; the base is whatever model token_scores calls ``base``.
    """
    return inputs["base.losses"] - inputs["reference.losses"]


@built_in
def document_excess_loss(inputs: ScoreInputs) -> Tensor:
    """Keep whole documents by their mean b - r: what a filter of documents could do with the same two models.

    A document is its part in one block, and the mean is over its tokens that have a target. The share of tokens is
    that of every other rule: the last document to be kept is cut at it, at most one in each ranking.
    """
    gain = (inputs["base.losses"] - inputs["reference.losses"]).double().masked_fill(~inputs["eligible"], 0.0)
    numbers, group = torch.unique(inputs["document_ids"], return_inverse=True)
    sums = torch.zeros(len(numbers), dtype=torch.float64, device=gain.device)
    counts = sums.index_add(0, group.flatten(), inputs["eligible"].double().flatten())
    sums = sums.index_add(0, group.flatten(), gain.flatten())
    return (sums / counts.clamp(min=1.0))[group].float()
