"""The constants of the paper's evaluation protocol (section 3.2 and appendix E) that several packages need."""

from __future__ import annotations

CHOICE_TASKS = frozenset({"mathqa", "mmlu_stem", "sat_math"})
"""The math data sets whose answers are option letters; their completions are read by a rule of their own."""

GREEDY = {"strategy": "greedy", "temperature": 0.0}
"""How completions are made, but for tasks whose ``generation_kwargs`` ask for samples."""

RANKED_SUITES = ("rho1_math9", "rho1_tir7", "rho1_general15")
"""The suites behind the paper's tables 1 and 2 and its figure 5; all other suites are trials."""
