"""Which difference can be found: the power of the test of ``crossed_effects`` for s seeds and n documents.

Place in the pipeline: behind ``rho1bench power``, before a contest is run; the spread comes from an earlier run. The
test's own rule is applied to draws of what it would see (the mean is normal, the parts of its variance are chi-square
with their degrees of freedom), so that few seeds, which make its interval wide, are counted as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rho1bench.comparison.crossed_effects import CrossedMean, Spread, reach
from rho1bench.comparison.statistics import Values

POWER, ALPHA = 0.8, 0.05
NUM_DRAWS = 20_000


@dataclass(frozen=True)
class Design:
    """How much is measured: seeds, documents over all tasks, tasks; ``alpha`` is the p from which on one speaks."""

    num_seeds: int
    num_documents: int
    num_tasks: int = 1
    alpha: float = ALPHA
    """0.05 over the number of arms is where Holm's adjustment begins."""


def power_of(difference: float, spread: Spread, design: Design, *, seed: int = 0) -> float:
    """Return the chance that a true ``difference`` is found: that p is at most alpha, and its sign is right."""
    return float(np.mean(_needed(spread, design, seed) <= abs(difference)))


def smallest_difference(spread: Spread, design: Design, *, power: float = POWER, seed: int = 0) -> float:
    """Return the smallest true difference that is found with the chance ``power``, in the unit of the spread."""
    return max(0.0, float(np.quantile(_needed(spread, design, seed), power)))


def _needed(spread: Spread, design: Design, seed: int) -> Values:
    """Return the true difference that is just found, of each of ``NUM_DRAWS`` contests."""
    seeds, documents, residual = spread.parts(design.num_seeds, design.num_documents)
    freedom = max(1, design.num_documents - design.num_tasks)
    generator = np.random.default_rng(seed)

    def drawn(part: float, df: int) -> Values:
        return part * generator.chisquare(df, NUM_DRAWS) / df if df else np.zeros(NUM_DRAWS)

    found = CrossedMean(
        mean=np.zeros(NUM_DRAWS),
        seeds_variance=drawn(seeds, design.num_seeds - 1),
        documents_variance=drawn(documents, freedom),
        residual_variance=drawn(residual, (design.num_seeds - 1) * freedom),
        documents_df=np.full(NUM_DRAWS, float(freedom)),
        num_seeds=design.num_seeds,
        num_documents=design.num_documents,
    )
    true = seeds + documents - residual if found.over_seeds else documents
    return reach(found, design.alpha / 2.0) - generator.normal(0.0, math.sqrt(true), NUM_DRAWS)
