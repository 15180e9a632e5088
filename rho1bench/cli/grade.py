"""``rho1bench grade`` and ``replay``: what models have said, graded and re-run without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rho1bench.cli.console import console


def grade(
    input: Annotated[
        Path,
        typer.Argument(metavar="INPUT.jsonl", help="Saved outputs: our own lines, released outputs, lm-eval samples."),
    ],
    output: Annotated[Path, typer.Option(metavar="OUT.jsonl", help="The same lines with pred and both verdicts.")],
    task: Annotated[
        str | None, typer.Option(help="Data set of every line (gsm8k, math ...), where lines name none.")
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="Folder with math/<task>/test.jsonl, for gold answers; default: RHO1BENCH_DATA, else the downloads."
        ),
    ] = None,
) -> None:
    """Grade saved outputs without a model, as the paper judged and strictly; list where the two disagree."""
    from rho1bench.grading.report import print_summary, reporting_pool
    from rho1bench.grading.saved_outputs import grade_file
    from rho1bench.system.progress import Progress

    progress = Progress("grade")
    pool = reporting_pool(progress)
    try:
        summary = grade_file(input, output, task, data_root, pool=pool)
    finally:
        progress.close()
        pool.close()
    print_summary(summary, console())


def replay(
    outputs: Annotated[Path, typer.Argument(help="JSON lines of transcripts: keys `code` (a list) or `completion`.")],
    output: Annotated[Path | None, typer.Option(help="Where to list every program whose output differs.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Programs at a time; default: one a core.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a program may take.")] = 5.0,
) -> None:
    """Re-run the programs of recorded transcripts, compare what they print; the last line is one line of JSON."""
    import json

    from rho1bench.evaluation.tools.replay import replay_file
    from rho1bench.evaluation.tools.tool_loop import ToolSettings
    from rho1bench.system.progress import Progress

    progress = Progress("replay")
    result = replay_file(outputs, output, ToolSettings(timeout=timeout), workers, progress)
    for reason, count in result.reasons():
        progress.message(f"{count} x {reason}")
    typer.echo(json.dumps(result.summary()))
