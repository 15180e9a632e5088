"""The commands of the leaderboard: ``rho1bench compare`` and ``rho1bench leaderboard add|build|check|serve``.

Part of ``cli``; everything but typer is imported inside the commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rho1bench.cli.console import JsonFile, console, show

leaderboard_app = typer.Typer(help="Keep records of results; build and check the leaderboard.", no_args_is_help=True)

Results = Annotated[Path, typer.Option("--results", help="The folder with records/ and the pages.")]
RESULTS = Path("results")


def compare(
    treatment: Annotated[str, typer.Argument(metavar="A", help="A record (file, or id), or a folder of `eval`.")],
    baseline: Annotated[str, typer.Argument(metavar="B", help="What A is compared with.")],
    results: Results = RESULTS,
    json_file: JsonFile = None,
    html: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="Also write a page of the answers; A and B are folders.")
    ] = None,
) -> None:
    """Compare two checkpoints on the same documents: difference, 95% interval, p, Holm over tasks, n.

    Refuses two evaluations that differ in tasks, documents, prompts, decoding or grader, and says in which.
    """
    from rho1bench.answers.page import write_pair_page
    from rho1bench.answers.sources import find_pair
    from rho1bench.leaderboard.records import compare as comparing

    pair = find_pair(treatment, baseline) if html is not None else None
    found = comparing.compare(treatment, baseline, results)

    def tables() -> None:
        for entry in found:
            console(130).print(comparing.comparison_table(entry))
            if line := comparing.speed_up_line(entry):
                typer.echo(line)

        if html is None and Path(treatment).is_dir() and Path(baseline).is_dir():
            typer.echo("answers side by side: --html PAGE.html")

    show([entry.model_dump(mode="json") for entry in found], json_file, tables)
    if html is not None and pair is not None:
        typer.echo(f"wrote {write_pair_page(html, *pair)}", err=json_file == Path("-"))


@leaderboard_app.command()
def add(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `rho1bench run` or `eval` wrote.")],
    name: Annotated[str | None, typer.Option(help="Name of the row, for an evaluation; default: its label.")] = None,
    results: Results = RESULTS,
) -> None:
    """Pack a run or an evaluation into records and build the pages anew; then commit results/."""
    from rho1bench.leaderboard.pages.build import add_and_build

    written = add_and_build(run, results, name)
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo("nothing changed" if not written else f"Look at {results / 'leaderboard.html'}, then commit {results}.")


@leaderboard_app.command()
def build(results: Results = RESULTS) -> None:
    """Write LEADERBOARD.md and leaderboard.html from the records; the same records give the same bytes."""
    from rho1bench.leaderboard.pages.build import write_pages

    written = write_pages(results)
    typer.echo("\n".join(f"wrote {path}" for path in written) or "nothing changed")


@leaderboard_app.command()
def check(results: Results = RESULTS, json_file: JsonFile = None) -> None:
    """Exit 1 with what is wrong: a record that is broken, changed, doubled or unlike its column, or a stale page."""
    from rho1bench.leaderboard.pages.build import check_results

    problems = check_results(results)
    lines = problems or ["records and pages are in order"]
    show({"problems": problems}, json_file, lambda: typer.echo("\n".join(lines)))
    if problems:
        raise typer.Exit(1)


@leaderboard_app.command()
def serve(
    results: Results = RESULTS,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
) -> None:
    """Show the leaderboard at http://127.0.0.1:PORT until Ctrl-C; it opens from the file as well."""
    from rho1bench.leaderboard.pages.serve import serve as serve_pages

    serve_pages(results, port, typer.echo)
