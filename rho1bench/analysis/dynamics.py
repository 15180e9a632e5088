"""How the losses of single tokens move over training: the paper's four classes (sections 2.1, appendix D; figure 3).

A least-squares line is drawn through a token's losses at the checkpoints; its last value minus its first is the
change. More than 0.2 nats down is H->L, more than 0.2 up L->H; else L->L where the last loss is at most the mean of all
tokens at the last checkpoint, and H->H where it is above.
Shapes: C checkpoints, N tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
CLASSES = ("H\N{RIGHTWARDS ARROW}L", "L\N{RIGHTWARDS ARROW}L", "H\N{RIGHTWARDS ARROW}H", "L\N{RIGHTWARDS ARROW}H")
FALLING, LOW, HIGH, RISING = range(4)
CHANGE = 0.2
"""Nats by which a line must fall or rise."""


@dataclass(frozen=True)
class Dynamics:
    """What became of every token; float64 but for the classes."""

    classes_N: npt.NDArray[np.uint8]
    """Places in :data:`CLASSES`."""
    change_N: Floats
    """Last value of the line minus its first."""
    wobble_N: Floats
    """Standard deviation of the losses around the line."""
    jump_N: Floats
    """Loss at the last checkpoint minus the mean at those before (figure 12)."""

    def shares(self) -> list[float]:
        """Return the share of the tokens in each class."""
        return [float(np.mean(self.classes_N == place)) for place in range(len(CLASSES))]

    def means(self, losses_CN: Floats) -> list[list[float | None]]:
        """Return the mean loss of each class at each checkpoint; None where a class is empty."""
        members = [self.classes_N == place for place in range(len(CLASSES))]
        return [
            [float(row_N[own_N].mean(dtype=np.float64)) if own_N.any() else None for row_N in losses_CN]
            for own_N in members
        ]


def token_dynamics(losses_CN: Floats, places: Sequence[float]) -> Dynamics:
    """Sort every token by its losses (nats) at checkpoints whose ``places`` (training tokens) ascend.

    Raises ValueError for fewer than two checkpoints, which no line can be drawn through.
    """
    if len(losses_CN) < 2 or len(places) != len(losses_CN):
        raise ValueError(f"a line needs two checkpoints or more, got {len(losses_CN)}")
    centred_C = np.asarray(places, dtype=np.float64) - np.mean(places)
    means_N = losses_CN.mean(axis=0, dtype=np.float64)
    slope_N = centred_C @ (losses_CN - means_N) / (centred_C @ centred_C)
    change_N = slope_N * (centred_C[-1] - centred_C[0])
    squares_N = np.zeros_like(means_N)
    for place, row_N in zip(centred_C, losses_CN, strict=True):
        squares_N += (row_N - means_N - slope_N * place) ** 2
    last_N = losses_CN[-1].astype(np.float64)
    classes_N = np.where(last_N <= last_N.mean(), LOW, HIGH)
    classes_N = np.where(change_N < -CHANGE, FALLING, np.where(change_N > CHANGE, RISING, classes_N))
    jump_N = last_N - losses_CN[:-1].mean(axis=0, dtype=np.float64)
    return Dynamics(classes_N.astype(np.uint8), change_N, np.sqrt(squares_N / len(losses_CN)), jump_N)


def chosen_perplexities(losses_CN: Floats, chosen_CN: npt.NDArray[np.bool_]) -> list[list[float | None]]:
    """Return the perplexity of the tokens that checkpoint i would choose, measured at checkpoint j (figure 8)."""
    return [
        [float(np.exp(row_N[own_N].mean(dtype=np.float64))) if own_N.any() else None for row_N in losses_CN]
        for own_N in chosen_CN
    ]
