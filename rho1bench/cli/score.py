"""``rho1bench score``: a reference's loss and entropy of every token of a packed corpus, stored once."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Precision(StrEnum):
    """Precision of weights and matrix products."""

    fp32 = "fp32"
    bf16 = "bf16"


def score(
    corpus: Annotated[Path, typer.Argument(help="Folder of a packed corpus, as a corpus stage writes it.")],
    output: Annotated[Path, typer.Option(help="Folder of the scores.")],
    reference: Annotated[str | None, typer.Option(help="Checkpoint folder, or hub id such as OWNER/NAME.")] = None,
    server: Annotated[str | None, typer.Option(help="Or a server that scores: http://HOST:PORT/v1.")] = None,
    model: Annotated[str | None, typer.Option(help="The server's name for the model.")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="The corpus's tokenizer, where the reference's has the same vocabulary only.")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Of weights and matrix products.")] = Precision.fp32,
    batch_size: Annotated[int, typer.Option(min=1, help="Blocks in one forward pass.")] = 64,
    shard_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens in one file; on the way there, files hold at most 2^20.")
    ] = 2**26,
    entropies: Annotated[
        bool, typer.Option(help="Keep them beside the losses; without, the store has half the size.")
    ] = True,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for torch.")] = None,
) -> None:
    """Store a reference's loss and entropy of every token. The same command again continues or is done.

    On several GPUs: `accelerate launch -m rho1bench score ...`; each process takes a part at a time.
    """
    from rho1bench.selection.stage import ScoreOptions, run_score

    run_score(
        ScoreOptions(
            corpus=corpus,
            output=output,
            reference=reference,
            server=server,
            model=model,
            tokenizer=tokenizer,
            precision=precision.value,
            batch_size=batch_size,
            shard_tokens=shard_tokens,
            entropies=entropies,
            num_threads=threads,
        )
    )
    if os.environ.get("RANK", "0") == "0":
        typer.echo(f"wrote {output}")
