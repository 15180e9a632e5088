"""``rho1bench power``: which difference can be found with so many documents and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rho1bench.cli.console import JsonFile, console, show


def power(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="Folder of a finished run, or a contest's record: its spread counts."),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Suite of the spread; default: the first of RUN.")] = None,
    documents: Annotated[
        list[int] | None, typer.Option(min=2, help="Test documents over all tasks; may be repeated.")
    ] = None,
    seeds: Annotated[list[int] | None, typer.Option(min=1, help="Training seeds that count; may be repeated.")] = None,
    tasks: Annotated[int | None, typer.Option(min=1, help="Tasks that share the documents.")] = None,
    sd_documents: Annotated[
        float | None, typer.Option(min=0, help="Standard deviation of a difference between documents, in points.")
    ] = None,
    sd_seeds: Annotated[float | None, typer.Option(min=0, help="... between training seeds.")] = None,
    sd_residual: Annotated[
        float | None, typer.Option(min=0, help="... of one document from seed to seed, beyond the seed's own.")
    ] = None,
    arms: Annotated[int, typer.Option(min=1, help="Arms of the contest: p must pass 0.05 over so many.")] = 1,
    chance: Annotated[float, typer.Option("--power", min=0.01, max=0.99, help="Chance to find the difference.")] = 0.8,
    difference: Annotated[
        float | None, typer.Option(min=0, help="Also print the chance to find a difference of so many points.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Print the smallest difference between two arms that a contest finds with a chance of 80%.

    The test is that of `contests`, over seeds and documents at once. Its spread comes from a finished run, or is given
    in points (percent of correct answers).
    """
    from dataclasses import asdict

    from rho1bench.comparison.power_command import PowerOptions, find_power, print_power

    options = PowerOptions(
        run=run,
        suite=suite,
        documents=documents or (),
        seeds=seeds or (),
        tasks=tasks,
        sd_seeds=sd_seeds,
        sd_documents=sd_documents,
        sd_residual=sd_residual,
        arms=arms,
        power=chance,
        difference=difference,
    )
    found = find_power(options)
    value = {"about": found.about, "unit": found.unit, "cells": [asdict(cell) for cell in found.cells]}
    show(value, json_file, lambda: print_power(found, console()))
