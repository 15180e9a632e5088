"""``rho1bench analyze``: what the checkpoints of a run say of single tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def analyze(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run; its training has to be finished.")],
    stages: Annotated[
        list[str] | None,
        typer.Option(
            "--stage", help="Pretraining stage to follow; may be repeated. Default: the selective one and its baseline."
        ),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Corpus stage whose text is read; default: what the first stage trains on.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="Suite of the accuracies; default: that of the checkpoints along the way.")
    ] = None,
    num_tokens: Annotated[int, typer.Option("--tokens", min=1, help="Tokens of the text at most.")] = 320_000,
    output: Annotated[Path | None, typer.Option(help="Folder of the results; default: RUN/analysis.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")] = None,
) -> None:
    """Follow tokens through a run's checkpoints: the paper's figures 3 and 6 to 14, and what rules have in common.

    Writes analysis.html, analysis.json, and for each figure an SVG and its numbers as CSV.
    """
    from rho1bench.analysis.command import analyze as carry_out

    place = carry_out(run, output, stages or [], corpus, suite, num_tokens, threads)
    typer.echo(f"analysis.html: {place / 'analysis.html'}")
