"""``rho1bench atlas``: a page of the tokens of a run, with what models and rules say of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def atlas(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `rho1bench run` wrote, of one seed.")],
    output: Annotated[
        Path | None,
        typer.Option(metavar="PAGE.html", help="The page, its data in PAGE_files beside it; default: RUN/atlas.html."),
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="About so many, spread evenly over the corpus.")] = 2**20,
    corpus: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Default: what the first selective stage trains on.")
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(metavar="STAGE[@STEP]", help="Default: where that stage began and ended; may be repeated."),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Default: the run's own rules and the paper's; may be repeated."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Blocks in one forward pass.")] = 64,
) -> None:
    """Write a page to look into a corpus token by token: losses, entropies, what rules keep and where they differ."""
    from rho1bench.atlas.request import request_of_run
    from rho1bench.atlas.stage import run_atlas
    from rho1bench.recipe.models.atlas import ATLAS_PAGE

    request = request_of_run(run, corpus, checkpoint or (), rule or (), tokens, batch_size)
    path = output or run / ATLAS_PAGE
    path.parent.mkdir(parents=True, exist_ok=True)  # before anything is computed for it
    found = run_atlas(path, request, f"{run.resolve().name}: tokens of {request.corpus.name}")
    typer.echo(f"{found.num_tokens:,} tokens in {found.num_documents:,} documents: {', '.join(found.columns)}")
    typer.echo(f"{path} ({found.bytes / 1e6:.1f} MB with its chunks)")
