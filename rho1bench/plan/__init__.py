"""What a run would do, in numbers, before anything runs; nothing is read but the recipe.

``sizes``: steps, tokens, blocks, weights, disk of a stage. ``table``: the table of ``rho1bench run --dry-run``.
``estimate``: memory and hours on GPUs (``gpus``, ``shapes``, ``compute``, ``memory``), for ``rho1bench plan``
(``report``).
"""

from __future__ import annotations

from rho1bench.plan.sizes import num_parameters, stage_sizes
from rho1bench.plan.tables import plan_table

__all__ = ["num_parameters", "plan_table", "stage_sizes"]
