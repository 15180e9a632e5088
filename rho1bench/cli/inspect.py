"""``rho1bench inspect``: what models answered, and text token by token, to be read by people.

Part of ``cli``; everything but typer is imported inside the commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rho1bench.cli.console import JsonFile, console, show
from rho1bench.cli.inspect_tokens import batch, tokens

inspect_app = typer.Typer(
    help="Look inside: answers of models, two evaluations side by side, tokens of a text or of a training batch.",
    no_args_is_help=True,
)

_SOURCE = "A run, a folder of `eval`, one checkpoint's folder in it, or lines that `grade` wrote; NAME=PATH renames."
Page = Annotated[Path, typer.Option(metavar="PAGE.html", help="The page; its data lie in PAGE_files beside it.")]


@inspect_app.command()
def answers(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help=_SOURCE)],
    output: Page = Path("answers.html"),
) -> None:
    """Write a page to read answers: filter by task, verdict, finish reason and text; two models side by side."""
    from rho1bench.answers.page import write_page
    from rho1bench.answers.sources import find_sources
    from rho1bench.errors import DataError

    found = find_sources(sources)
    written = write_page(output, found, f"Answers of {_names([source.label for source in found])}")
    if written is None:
        raise DataError(f"{', '.join(sources)}: the files hold no line.")
    typer.echo(f"wrote {output} ({written.num_answers} answers)")


@inspect_app.command()
def diff(
    left: Annotated[str, typer.Argument(metavar="A", help=_SOURCE)],
    right: Annotated[str, typer.Argument(metavar="B", help="What A is set beside.")],
    most: Annotated[int, typer.Option("--limit", min=0, help="Questions to list.")] = 20,
    html: Annotated[Path | None, typer.Option(metavar="PAGE.html", help="Also write a page of both.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Two models on the same questions, answer by answer: who is right where, and what they answered."""
    from rho1bench.answers.differences import answer_pairs, as_rows, counts_table, differing_table
    from rho1bench.answers.page import write_pair_page
    from rho1bench.answers.sources import find_pair

    pair = find_pair(left, right)
    found = answer_pairs(*pair)
    names = pair[0].label, pair[1].label

    def tables() -> None:
        console(130).print(counts_table(found, *names))
        if most:
            console(130).print(differing_table(found, *names, most))

    show(as_rows(found, *names), json_file, tables)
    if html is not None:
        typer.echo(f"wrote {write_pair_page(html, *pair)}", err=json_file == Path("-"))


inspect_app.command()(tokens)
inspect_app.command()(batch)


def _names(labels: list[str], most: int = 3) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more
