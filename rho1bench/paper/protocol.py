"""The constants of the paper's evaluation protocol (section 3.2 and appendix E) that several packages need."""

from __future__ import annotations

CHOICE_TASKS = frozenset({"mathqa", "mmlu_stem", "sat_math"})
"""The math data sets whose answers are option letters; their completions are read by a rule of their own."""
