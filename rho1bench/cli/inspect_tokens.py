"""``rho1bench inspect tokens`` and ``inspect batch``: text token by token, a user's own and what a trainer saw.

Part of ``cli.inspect``; everything but typer is imported inside the commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rho1bench.cli.console import JsonFile, console, show

if TYPE_CHECKING:
    from rich.text import Text

    from rho1bench.analysis.inspection import InspectedToken
    from rho1bench.rendering.token_text import ShownPassage
    from rho1bench.training.batch_view import SeenBatch, SeenBlock

Most = Annotated[int, typer.Option("--limit", min=0, help="Tokens to print.")]
TokenPage = Annotated[Path | None, typer.Option(metavar="PAGE.html", help="Also write a page with all of them.")]
_TOKEN_HEADER = ("place", "token", "loss", "entropy", "reference loss", "reference entropy", "excess", "score", "kept")
_SEEN_HEADER = ("sample", "block", "place", "token", "eligible", "kept", "weight", "position", "loss")


def tokens(
    text: Annotated[str, typer.Argument(metavar="TEXT|FILE", help="A file of text; what names none is the text.")],
    model: Annotated[str, typer.Option(help="Checkpoint folder, or hub id such as OWNER/NAME.")],
    reference: Annotated[str | None, typer.Option(help="Reference model of the same vocabulary, likewise.")] = None,
    rule: Annotated[
        str | None, typer.Option(help="Selection rule; default: excess_loss with a reference, else training_loss.")
    ] = None,
    ratio: Annotated[float, typer.Option(min=0.001, max=1.0, help="Share that is kept.")] = 0.6,
    most: Most = 60,
    html: TokenPage = None,
    json_file: JsonFile = None,
) -> None:
    """A text token by token: losses, entropies, excess, and what a rule would keep of it."""
    from dataclasses import asdict

    from rho1bench.analysis.inspection import inspect_text

    name = rule or ("training_loss" if reference is None else "excess_loss")
    found = inspect_text(_text_of(text), model, reference, name, ratio)
    rows = [_token_row(place, token) for place, token in enumerate(found)]
    kept = sum(token.is_kept for token in found)
    words = f"{name} keeps {kept} of {len(found) - 1} tokens."
    show([asdict(token) for token in found], json_file, lambda: _print_rows(_TOKEN_HEADER, rows, most, words))
    if html is not None:
        from rho1bench.analysis.token_page import KEPT_GROUND, token_page
        from rho1bench.rendering.token_text import PLAIN, ShownPassage, ShownToken
        from rho1bench.system.files import write_text

        shown = [
            ShownToken(token.text, KEPT_GROUND if token.is_kept else PLAIN, ", ".join(
                f"{key} {cell}" for key, cell in zip(_TOKEN_HEADER[2:], row[2:], strict=True) if cell
            ))
            for token, row in zip(found, rows, strict=True)
        ]  # fmt: skip
        title = f"What {name} keeps, as {model} reads it"
        write_text(html, token_page(title, words, [ShownPassage("Text", shown)], _TOKEN_HEADER, rows))
        typer.echo(f"wrote {html}", err=json_file == Path("-"))


def batch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    stage: Annotated[str, typer.Argument(help="A pretraining stage of it that is finished.")],
    step: Annotated[int, typer.Option(min=1, help="Optimizer step; 1 is the first.")] = 1,
    block: Annotated[int, typer.Option(min=0, help="Row of the batch whose tokens are printed.")] = 0,
    most: Most = 60,
    html: TokenPage = None,
    json_file: JsonFile = None,
) -> None:
    """What the trainer saw in one optimizer step: text, eligible and selected tokens, weights, positions."""
    from dataclasses import asdict

    from rho1bench.analysis.run_folder import context_in_run, recipe_of_run
    from rho1bench.errors import DataError
    from rho1bench.pipeline.stage import RunOptions
    from rho1bench.recipe import PretrainStage
    from rho1bench.system.progress import SilentProgress
    from rho1bench.training.batch_view import read_batch

    recipe = recipe_of_run(run)
    known = [one.name for one in recipe.stages_of(PretrainStage)]
    if stage not in known:
        raise DataError(f"{run}: has no pretraining stage {stage!r}; it has {', '.join(known)}.")
    context = context_in_run(recipe, run, recipe.stage(stage), run / "stages" / stage, SilentProgress(), RunOptions())
    found = read_batch(context, stage, step)
    if block >= len(found.blocks):
        raise DataError(f"--block {block}: the batch has {len(found.blocks)} rows, 0 to {len(found.blocks) - 1}.")
    words = _batch_words(found, stage)

    def tables() -> None:
        _print_blocks(found)
        _print_rows(_SEEN_HEADER, _seen_rows(found.blocks[block]), most, words)

    show(asdict(found), json_file, tables)
    if html is not None:
        from rho1bench.analysis.token_page import token_page
        from rho1bench.system.files import write_text

        rows = [row for one in found.blocks for row in _seen_rows(one)]
        passages = [_seen_passage(one) for one in found.blocks]
        write_text(html, token_page(f"{stage}, step {step}", words, passages, _SEEN_HEADER, rows))
        typer.echo(f"wrote {html}", err=json_file == Path("-"))


def _text_of(argument: str) -> str:
    from rho1bench.errors import DataError

    try:
        is_file = Path(argument).is_file()
    except OSError:  # too long for a name
        is_file = False
    if not is_file:
        return argument
    try:
        return Path(argument).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{argument}: is no text in UTF-8 ({error.reason} at byte {error.start}).") from error


def _token_row(place: int, token: InspectedToken) -> list[str]:
    known = token.loss is not None and token.reference_loss is not None
    excess = (token.loss or 0.0) - (token.reference_loss or 0.0) if known else None
    numbers = (token.loss, token.entropy, token.reference_loss, token.reference_entropy, excess, token.score)
    shown = ["" if number is None else f"{number:.3f}" for number in numbers]
    return [str(place), _visible(token.text), *shown, "kept" if token.is_kept else ""]


def _visible(text: str) -> str:
    return text.replace("\n", "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}").replace("\t", "\N{RIGHTWARDS ARROW}")


def _batch_words(found: SeenBatch, stage: str) -> str:
    tokens = [token for one in found.blocks for token in one.tokens]
    eligible, kept = sum(token.is_eligible for token in tokens), sum(token.is_kept for token in tokens)
    words = f"{stage}, step {found.step}: {len(found.blocks)} blocks, {eligible} eligible tokens, {kept} kept."
    if found.asked is None:
        return words
    words = f"{words} Ranked by the losses of {found.asked}"
    return f"{words}." if found.is_exact else f"{words}, the last checkpoint before: training's own choice was another."


def _seen_rows(block: SeenBlock) -> list[list[str]]:
    return [
        [
            str(block.sample),
            str(block.block),
            str(place),
            _visible(token.text),
            "yes" if token.is_eligible else "",
            "kept" if token.is_kept else "",
            f"{token.weight:.3g}" if token.weight else "",
            str(token.position),
            "" if token.loss is None else f"{token.loss:.3f}",
        ]
        for place, token in enumerate(block.tokens)
    ]


def _seen_passage(block: SeenBlock) -> ShownPassage:
    from rho1bench.analysis.token_page import KEPT_GROUND
    from rho1bench.rendering.token_text import PLAIN, ShownPassage, ShownToken

    tokens = [
        ShownToken(
            token.text, KEPT_GROUND if token.is_kept else PLAIN, f"position {token.position}, weight {token.weight:.3g}"
        )
        for token in block.tokens
    ]
    return ShownPassage(f"Sample {block.sample}, block {block.block}", tokens)


def _print_blocks(found: SeenBatch) -> None:
    from rich.table import Table

    table = Table("row", "sample", "block", "tokens", "eligible", "kept", "begins", box=None)
    for row, one in enumerate(found.blocks):
        counts = len(one.tokens), sum(t.is_eligible for t in one.tokens), sum(t.is_kept for t in one.tokens)
        begins = _visible("".join(token.text for token in one.tokens))[:50]
        table.add_row(*map(str, (row, one.sample, one.block, *counts)), _plain(begins))
    console(130).print(table)


def _print_rows(header: Sequence[str], rows: Sequence[Sequence[str]], most: int, words: str) -> None:
    from rich.table import Table

    table = Table(*header, box=None)
    for row in rows[:most]:
        table.add_row(*map(_plain, row))
    if most:
        console(130).print(table)
    more = f" The first {most} are shown; --limit shows more." if most < len(rows) else ""
    typer.echo(f"{words}{more}")


def _plain(text: str) -> Text:
    """Return text in which nothing is markup of the console."""
    from rich.text import Text

    return Text(text)
