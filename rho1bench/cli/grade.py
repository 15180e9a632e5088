"""``rho1bench grade`` and ``replay``: what models have said, graded and re-run without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rho1bench.cli.console import JsonFile, console, show


def grade(
    input: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="Saved outputs: JSON lines of one of the forms above, or .csv or .tsv."),
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
    json_file: JsonFile = None,
) -> None:
    """Grade saved outputs without a model, as the paper judged and strictly; list where the two disagree.

    INPUT has one answer a line, in one of three forms, told by their keys:

    \b
    our own    {"task": "gsm8k", "completion": "The answer is 5.", "gold": "5"}
               with "idx": 0 in place of gold, the answer is that of the row in --data-root
    released   {"idx": 0, "code": ["The answer is 5."], "gt": "5"}, as the paper's authors published theirs
    lm-eval    {"doc": {"question": "...", "answer": "#### 5"}, "target": "5", "resps": [["The answer is 5."]]}

    A .csv or .tsv file has the columns of our own form in its header: task,completion,gold. Lines that name no task
    take that of --task. Plain text is refused: it holds no gold answers.
    """
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
    show(summary, json_file, lambda: print_summary(summary, console()))
    typer.echo(f"wrote {output}", err=json_file == Path("-"))


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
    if output is not None:
        progress.message(f"wrote {output}")
    typer.echo(json.dumps(result.summary()))
