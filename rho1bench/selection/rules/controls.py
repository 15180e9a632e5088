"""The controls: every token, and tokens at random."""

from __future__ import annotations

import torch
from torch import Tensor

from rho1bench.selection.rule import ScoreInputs, built_in


@built_in
def full(inputs: ScoreInputs) -> Tensor:
    """Keep all: plain causal language modelling. Its scores are never ranked."""
    return torch.ones_like(inputs["token_positions"], dtype=torch.float32)


@built_in
def random(inputs: ScoreInputs) -> Tensor:
    """Keep at random, by seed and token: other tokens in each epoch, the same in every run."""
    return uniform(inputs["token_positions"], inputs.seed)


def uniform(token_positions: Tensor, seed: int) -> Tensor:
    """Return a number in [0, 1) for each token, float32: a hash (splitmix64's finaliser) of seed and position.

    So it depends on neither batch nor device.
    """
    state = token_positions + _signed((seed + 1) * 0x9E3779B97F4A7C15)
    state = (state ^ _shift(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shift(state, 27)) * _signed(0x94D049BB133111EB)
    return _shift(state ^ _shift(state, 31), 40).to(torch.float32) / 2**24


def _signed(value: int) -> int:
    """Return the int64 that has the low 64 bits of ``value``."""
    return (value + 2**63) % 2**64 - 2**63


def _shift(state: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's own keeps the sign."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)
