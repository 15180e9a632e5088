"""The paper's law of accuracy and loss, ``Acc(L) = log(a L + c)`` (equation 7, figure 7), with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
_STEPS, _HALVINGS, _CLOSE = 100, 30, 1e-12


@dataclass(frozen=True)
class LossFit:
    """A least-squares fit of accuracies (0 to 1) at mean losses (nats)."""

    a: float
    c: float
    covariance: tuple[tuple[float, float], tuple[float, float]]
    """Of ``a`` and ``c``, from the residuals; None of it knows that the points lie on one run."""
    t_quantile: float
    """Student's, at 97.5%, of the points less two."""
    r_squared: float
    num_points: int

    def at(self, loss: float) -> float:
        """Return the fitted accuracy; raises ValueError where ``a L + c`` is not positive."""
        return math.log(self.a * loss + self.c)

    def interval_of(self, parameter: int) -> tuple[float, float]:
        """Return the 95% interval of ``a`` (0) or ``c`` (1)."""
        value, room = (self.a, self.c)[parameter], self.t_quantile * math.sqrt(self.covariance[parameter][parameter])
        return value - room, value + room

    def band(self, loss: float) -> tuple[float, float]:
        """Return the 95% interval of the fitted accuracy at ``loss``, by the delta method."""
        inner = self.a * loss + self.c
        gradient = np.array([loss / inner, 1.0 / inner])
        room = self.t_quantile * math.sqrt(float(gradient @ np.array(self.covariance) @ gradient))
        return math.log(inner) - room, math.log(inner) + room


def fit_log(losses: Sequence[float], accuracies: Sequence[float]) -> LossFit | None:
    """Fit by Gauss-Newton from the straight line through ``exp(Acc)``; None with fewer than three distinct losses."""
    loss_P, accuracy_P = np.asarray(losses, dtype=np.float64), np.asarray(accuracies, dtype=np.float64)
    if len(np.unique(loss_P)) < 3:
        return None
    design_P2 = np.stack([loss_P, np.ones_like(loss_P)], axis=1)
    parameters = np.linalg.lstsq(design_P2, np.exp(accuracy_P), rcond=None)[0]
    if not (design_P2 @ parameters > 0).all():
        return None
    for _ in range(_STEPS):
        better = _step(design_P2, accuracy_P, parameters)
        moved = float(np.abs(better - parameters).max())
        parameters = better
        if moved <= _CLOSE * float(np.abs(parameters).max()):
            break
    return _with_uncertainty(design_P2, accuracy_P, parameters)


def _step(design_P2: Vector, accuracy_P: Vector, parameters: Vector) -> Vector:
    """Return better parameters, by a step that is halved until the squares fall; the same ones where none does."""
    inner_P = design_P2 @ parameters
    residual_P = accuracy_P - np.log(inner_P)
    step = np.linalg.lstsq(design_P2 / inner_P[:, None], residual_P, rcond=None)[0]
    squares = float(residual_P @ residual_P)
    for _ in range(_HALVINGS):
        tried: Vector = parameters + step
        inner_P = design_P2 @ tried
        if (inner_P > 0).all() and float(((accuracy_P - np.log(inner_P)) ** 2).sum()) < squares:
            return tried
        step = step / 2.0
    return parameters


def _with_uncertainty(design_P2: Vector, accuracy_P: Vector, parameters: Vector) -> LossFit:
    from scipy.special import stdtrit

    inner_P = design_P2 @ parameters
    residual_P = accuracy_P - np.log(inner_P)
    jacobian_P2 = design_P2 / inner_P[:, None]
    freedom = len(accuracy_P) - 2
    squares = float(residual_P @ residual_P)
    total = float(((accuracy_P - accuracy_P.mean()) ** 2).sum())
    covariance = np.linalg.inv(jacobian_P2.T @ jacobian_P2) * squares / freedom
    rows = [(float(row[0]), float(row[1])) for row in covariance]
    return LossFit(
        a=float(parameters[0]),
        c=float(parameters[1]),
        covariance=(rows[0], rows[1]),
        t_quantile=float(stdtrit(freedom, 0.975)),
        r_squared=1.0 - squares / total if total > 0 else 0.0,
        num_points=len(accuracy_P),
    )
