"""Signal-to-noise of a task: can it tell the arms of a contest apart at all?

Place in the pipeline: ``contest`` puts these numbers beside each task. The signal is the spread between arms, the noise
what moves a score though nothing of the method changed: another training seed, or another checkpoint near the end of
training (after Heineman et al. 2025, "Signal and Noise", who take the last checkpoints of one run).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from rho1bench.comparison.result_files import ResultModel

LATE = 3
"""Checkpoints at the end of a run that count as late."""


class TaskSignal(ResultModel):
    """Standard deviations of one task's score, in its unit; None where nothing can be known."""

    between_arms: float | None
    """Of the arms' means over seeds; it holds a share of the seeds' noise."""
    between_seeds: float | None
    """Within an arm, pooled over the arms."""
    between_checkpoints: float | None
    """Within a run, over its last checkpoints, pooled over the runs."""

    @property
    def ratio(self) -> float | None:
        """Signal over the larger of the two noises; None without both, infinite noise-free tasks count as None."""
        noises = [noise for noise in (self.between_seeds, self.between_checkpoints) if noise is not None]
        if self.between_arms is None or not noises or max(noises) == 0.0:
            return None
        return self.between_arms / max(noises)


def task_signal(arms: Mapping[str, Sequence[float]], late: Sequence[Sequence[float]] = ()) -> TaskSignal:
    """Return the signal and the noise of one task.

    ``arms``: the score of each seed, by arm; ``late``: the scores of the last checkpoints of each run that has several,
    of which the last ``LATE`` are read.
    """
    means = [math.fsum(scores) / len(scores) for scores in arms.values() if scores]
    return TaskSignal(
        between_arms=float(np.std(means, ddof=1)) if len(means) > 1 else None,
        between_seeds=_pooled(list(arms.values())),
        between_checkpoints=_pooled([scores[-LATE:] for scores in late]),
    )


def _pooled(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the standard deviation within groups; None where none has two values."""
    several = [np.array(group, dtype=np.float64) for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    if not freedom:
        return None
    return math.sqrt(sum(float(np.square(group - group.mean()).sum()) for group in several) / freedom)
