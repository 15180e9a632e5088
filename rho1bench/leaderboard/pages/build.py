"""``rho1bench leaderboard build`` and ``check``: pages and figures as a pure function of the files in ``results/``.

No clock, no network, no locale: the same records give the same bytes on every machine. A page that is not what the
records give is stale, and ``check`` shows the difference.
"""

from __future__ import annotations

import difflib
import gc
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from rho1bench.comparison.result_files import JsonObject
from rho1bench.errors import DataError
from rho1bench.leaderboard.pages.figures import FIGURES, contest_files, figure_files, map_files
from rho1bench.leaderboard.pages.html import html_page
from rho1bench.leaderboard.pages.markdown import markdown_page
from rho1bench.leaderboard.records.add import add, all_or_nothing
from rho1bench.leaderboard.records.checks import PAPER_TABLES, read_records
from rho1bench.leaderboard.records.contest_checks import read_contests
from rho1bench.leaderboard.records.contest_record import json_schema as contest_json_schema
from rho1bench.leaderboard.records.read import RECORDS, place_of
from rho1bench.leaderboard.records.record import json_schema
from rho1bench.leaderboard.tables.board import make_board
from rho1bench.system.files import write_text

MARKDOWN_PAGE, HTML_PAGE, SCHEMA_FILE = "LEADERBOARD.md", "leaderboard.html", "record.schema.json"
CONTEST_SCHEMA_FILE = "contest.schema.json"
_PROBLEMS_SHOWN, _DIFF_LINES, _LINE = 20, 30, 160


def pages(results: Path) -> tuple[dict[str, str], list[str]]:
    """Return the generated files by name, and every problem of the records (those left out of the pages)."""
    with _no_cycle_collection():
        return _pages(results)


def _pages(results: Path) -> tuple[dict[str, str], list[str]]:
    records, problems = read_records(results)
    contests, found = read_contests(results, records)
    board = make_board(records, contests)
    texts = {MARKDOWN_PAGE: markdown_page(board), HTML_PAGE: html_page(board)}
    texts |= {SCHEMA_FILE: _schema_text(json_schema()), CONTEST_SCHEMA_FILE: _schema_text(contest_json_schema())}
    texts |= figure_files(board.all_figures, records)
    return texts | contest_files(board.contests) | map_files(board.maps), problems + found


def _schema_text(schema: JsonObject) -> str:
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@contextmanager
def _no_cycle_collection() -> Iterator[None]:
    """Records hold no cycles, and looking for some among thousands takes a sixth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def write_pages(results: Path) -> list[Path]:
    """Write what is stale and return it; raises DataError, writing nothing, where a record is not in order."""
    if not results.is_dir():
        raise DataError(f"{results}: no such folder. Name the results folder of the checkout with --results.")
    texts, problems = pages(results)
    problems += _in_the_way(results, texts)
    if problems:
        shown = "\n".join(f"  - {problem}" for problem in problems[:_PROBLEMS_SHOWN])
        more = f"\n  - and {len(problems) - _PROBLEMS_SHOWN} more" if len(problems) > _PROBLEMS_SHOWN else ""
        raise DataError(f"{results}: the pages are not built, {len(problems)} problem(s):\n{shown}{more}")
    stale = [results / name for name, text in texts.items() if _read(results / name) != text]
    for path in stale:
        write_text(path, texts[path.relative_to(results).as_posix()])
    return stale


def add_and_build(folder: Path, results: Path, name: str | None = None) -> list[Path]:
    """Add the records of ``folder`` and build the pages, all of it or nothing; returns the files that changed.

    Raises DataError where the folder cannot be packed, or its records and those that are there do not fit together.
    """
    with all_or_nothing(results) as copy:
        written = [*add(folder, copy, name), *write_pages(copy)]
    return [results / path.relative_to(copy) for path in written]


def check_results(results: Path) -> list[str]:
    """Return every problem of the records or, where these are in order, what differs in each stale page."""
    if not results.is_dir():
        raise DataError(f"{results}: no such folder. Name the results folder of the checkout with --results.")
    texts, problems = pages(results)
    problems += _in_the_way(results, texts)
    if problems:
        return problems  # pages are made of the records that are in order
    for name, text in texts.items():
        present = _read(results / name)
        if present is None:
            problems.append(f"{name}: is missing. `rho1bench leaderboard build` makes it.")
        elif present != text:
            problems.append(f"{name}: is not what the records give. `rho1bench leaderboard build` makes it anew.")
            problems += _diff(name, present, text)
    return [*problems, *_strays(results, texts)]


def _in_the_way(results: Path, names: Collection[str]) -> Iterator[str]:
    """Yield folders in the place of pages, and files in the place of their folders."""
    places = dict.fromkeys(part for name in names for part in (*Path(name).parents[:-1], Path(name)))
    for place in places:
        is_page = place.as_posix() in names
        if (results / place).exists() and (results / place).is_dir() == is_page:
            yield f"{place.as_posix()}: is {'a folder, not a file' if is_page else 'a file, not a folder'}; remove it"


def _strays(results: Path, texts: Mapping[str, str]) -> Iterator[str]:
    """Yield files in folders of the leaderboard's own that no record gives or names."""
    records = [path.read_bytes() for path in (results / RECORDS).rglob("*.json") if path.is_file()]
    for folder in (FIGURES, "recipes", "paper"):
        for path in sorted((results / folder).rglob("*")):
            place = place_of(path, results)
            named = folder == "recipes" and any(f"results/{place} ".encode() in record for record in records)
            if place not in texts and not named and place != PAPER_TABLES:
                yield f"{place}: no record gives or names it; remove it"


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        return ""


def _diff(name: str, present: str, wanted: str) -> Iterator[str]:
    lines = difflib.unified_diff(
        present.splitlines(), wanted.splitlines(), f"{name} (as it is)", f"{name} (from the records)", lineterm="", n=0
    )
    for line in islice(lines, _DIFF_LINES):
        yield f"    {line if len(line) <= _LINE else line[:_LINE] + ' ...'}"
