"""How long training and scoring take: operations a token, and the share of a GPU's peak that is reached (MFU).

Operations are the model's own, as in appendix B of the PaLM paper (Chowdhery et al. 2022, arXiv 2204.02311):
6 for each weight that a token is multiplied with, and ``12 * L * H * Q * T`` for attention (L layers, H heads of width
Q, sequences of T tokens; the causal half is not taken off). The input embedding is looked up, not multiplied, and is
left out. A third of it is the forward pass. Work done twice (gradient checkpointing) does not count, so an MFU tells
what reaches the model.
"""

from __future__ import annotations

from rho1bench.recipe.known_models import ModelShape

FORWARD = 1 / 3
"""Share of a training step's operations that a forward pass has."""


def flops_per_token(shape: ModelShape, length: int) -> float:
    """Return the operations of forward and backward pass a token, in sequences of ``length`` tokens."""
    embedding = 0 if shape.tie_word_embeddings else shape.vocab_size * shape.hidden_size
    attention = 12 * shape.num_hidden_layers * shape.hidden_size * length
    return float(6 * (shape.num_parameters - embedding) + attention)


def mfu(tokens_per_second: float, shape: ModelShape, length: int, peak_flops: float) -> float:
    """Return the share of the peak that training at ``tokens_per_second`` on one GPU reaches."""
    return tokens_per_second * flops_per_token(shape, length) / peak_flops


def gpu_seconds(tokens: float, shape: ModelShape, length: int, reached_flops: float, share: float = 1.0) -> float:
    """Return the seconds that ``tokens`` take on one GPU which reaches ``reached_flops``; ``share`` of the work."""
    return tokens * flops_per_token(shape, length) * share / reached_flops
