"""The table of ``--dry-run``: what would be done with each stage, and its rough sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from rho1bench.manifest import Decision
from rho1bench.plan.sizes import stage_sizes
from rho1bench.recipe import Recipe, StageBase, references

NUMBERS = ("steps", "tokens", "blocks", "weights", "disk")


def plan_table(recipe: Recipe, decisions: Iterable[tuple[StageBase, Decision]]) -> Table:
    """Return the plan as a table, one row a stage; the caption tells why a finished stage would run again."""
    table = Table(title=f"plan of {recipe.name}, seed {recipe.seed}", title_justify="left", box=SIMPLE_HEAD)
    for column in ("stage", "kind", "reads"):
        table.add_column(column, no_wrap=column != "reads")
    for column in NUMBERS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("would", no_wrap=True)
    reasons = []
    for stage, decision in decisions:
        sizes = stage_sizes(recipe, stage)
        blocks = f"{short(sizes['documents'])} docs" if "documents" in sizes else short(sizes.get("blocks"))
        table.add_row(
            stage.name,
            str(getattr(stage, "kind", "")),
            ", ".join(dict.fromkeys(name for _, name, _ in references(stage))),
            short(sizes.get("steps")),
            short(sizes.get("tokens")),
            blocks,
            short(sizes.get("weights")),
            short(sizes.get("bytes"), "B"),
            "redo" if decision.wipe else decision.action,
        )
        if decision.wipe:
            reasons.append(f"{stage.name}: {decision.reason}")
    table.caption = "\n".join(reasons) or None
    return table


def short(number: Any, unit: str = "") -> str:
    """Write a size with three digits: ``1.23M``; an unknown one as ``-``."""
    if number is None:
        return "-"
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {letter}{unit}".strip()
    return f"{number} {unit}".strip()
