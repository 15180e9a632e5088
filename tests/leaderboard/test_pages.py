"""The leaderboard's two pages: the paper to the digit, ours beside it, and nothing from outside obeyed."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from fake_records import Json, fake_pair, fake_record, with_hashes, write_results
from page_tables import Page, PageRow

from rho1bench.comparison.statistics import spread_over_seeds
from rho1bench.leaderboard.pages.build import HTML_PAGE, MARKDOWN_PAGE, pages
from rho1bench.leaderboard.tables import paper_rows
from rho1bench.leaderboard.tables.significance import Contender, best_beyond_chance
from rho1bench.paper.tables import paper_tables
from rho1bench.system.paths import results_dir

ATTACK = "</script></td><script>alert(1)</script><img src=x onerror=alert(2)>|`*[x](javascript:alert(3)) https://evil.example"
SHARED_NAMES = {
    "1": "table1_few_shot_cot",
    "2": "table2_tool_integrated",
    "3": "table3_self_reference",
    "4": "table4_self_reference_full",
    "5": "table5_weak_to_strong",
}


def build(folder: Path, records: list[Json]) -> tuple[Page, str, str]:
    texts, problems = pages(write_results(folder, records))
    assert problems == []
    return Page(texts[HTML_PAGE]), texts[HTML_PAGE], texts[MARKDOWN_PAGE]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str, str]:
    return build(tmp_path_factory.mktemp("empty"), [])


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str, str]:
    records = [record for seed in range(3) for record in fake_pair("ours", seed=seed)]
    records += fake_pair("general", suite="rho1_general15") + fake_pair("tools", suite="rho1_tir7")
    records += [*fake_pair("tiny", suite="mini_math9"), fake_record("trial", accuracy=0.9, limit=8)]
    facts = {"recipe": "self_reference", "selection": {"score": "reference_loss", "ratio": 0.7}}
    records += [fake_record("ablated", training=facts), fake_record("strong", training={"recipe": "weak_to_strong_7b"})]
    return build(tmp_path_factory.mktemp("full"), records)


def digits(row: dict[str, Any], columns: list[str]) -> list[str]:
    return ["–" if row[name] is None else f"{row[name]:.1f}" for name in columns]


def test_the_papers_tables_are_on_the_page_to_the_digit(empty: tuple[Page, str, str]) -> None:
    page, _, text = empty
    markdown, seen = text.replace("**", ""), 0
    for table in paper_tables()["tables"]:
        rows = page.tables[f"table-{table['table']}"]
        printed = sorted(
            ["–" if value is None else f"{value:.1f}" for value in (row["average"], *row["scores"])]
            for row in table["rows"]
        )
        assert sorted(numbers(row, len(table["tasks"])) for row in rows) == printed
        for row in printed:
            assert f"| {' | '.join(row)} |" in markdown
        seen += len(rows)
    assert seen == 61


def numbers(row: PageRow, num_tasks: int) -> list[str]:
    return row.cells[-(num_tasks + 1) :]


def test_the_page_says_what_the_reference_copy_of_the_paper_says(
    empty: tuple[Page, str, str], shared_data: Path
) -> None:
    printed = json.loads((shared_data / "reference" / "paper_tables.json").read_text())
    for table in paper_tables()["tables"]:
        wanted = [digits(row, ["AVG", *table["columns"]]) for row in printed[SHARED_NAMES[table["table"]]]]
        rows = empty[0].tables[f"table-{table['table']}"]
        assert sorted(numbers(row, len(table["tasks"])) for row in rows) == sorted(wanted)
    (five,) = empty[0].tables["figure-5"]
    assert five.cells[1:] == [f"+{value:.1f}" for value in printed["figure5_general"]["delta"].values()]
    assert five.cells[0] == "+6.8"


def test_facts_of_the_papers_rows_are_as_printed(empty: tuple[Page, str, str]) -> None:
    rows = {(row.name, row.cells[2]): row.cells[:3] for row in empty[0].tables["table-1"]}
    assert rows["Rho-1-Math", "10.5B"] == ["7B", "OWM", "10.5B"]
    assert rows["Minerva", "26B"] == ["540B", "–", "26B"]


def test_sizes_of_test_sets_are_those_of_the_pinned_files() -> None:
    from rho1bench.evaluation.data.math_sets import MATH_SETS

    names = {"math500": "math", "sat": "sat_math"}
    for table in paper_tables()["tables"]:
        short = [re.sub(r"^rho1_|_(cot|tir)$", "", task) for task in table["tasks"]]
        assert table["num_rows"] == [MATH_SETS[names.get(name, name)].num_rows for name in short]


@pytest.mark.parametrize(
    ("average", "scores", "note"),
    [
        (2.1, [1.0, 3.0], None),
        (2.2, [1.0, 3.0], "The paper prints 2.2; its cells average 2.00."),
        (1.9, [1.0, 3.0], None),
        (2.0, [1.0, None, 3.0], "The paper prints 2.0; its cells (1 cells are not reported) average 2.00."),
        (None, [1.0, 3.0], None),
    ],
)
def test_an_average_that_does_not_follow_is_noted(
    average: float | None, scores: list[float | None], note: str | None
) -> None:
    assert paper_rows.average_note(scores, average) == note


def test_a_wrong_average_of_the_paper_gets_a_footnote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = json.loads((results_dir() / "paper" / "tables.json").read_text())
    tables["tables"][0]["rows"][0]["average"] = 14.4
    monkeypatch.setattr(paper_rows, "paper_tables", lambda: tables)
    page, html, markdown = build(tmp_path, [])
    assert "table-1-note-1" in page.ids
    assert "#table-1-note-1" in next(row for row in page.tables["table-1"] if row.name == "TinyLlama").links
    for text in (html, markdown):
        assert "The paper prints 14.4; its cells average 13.41." in text
        assert "1 differ by more" in text


def test_without_records_the_page_says_so(empty: tuple[Page, str, str]) -> None:
    page, html, markdown = empty
    assert "No full record of rho1bench yet." in html
    assert "No full record of rho1bench yet." in markdown
    assert {row.by for rows in page.tables.values() for row in rows} == {"paper"}


def test_ours_stand_beside_the_paper_and_link_to_their_records(full: tuple[Page, str, str]) -> None:
    page, _, markdown = full
    ours = {row.name: row for row in page.tables["table-1"] if row.by == "rho1bench"}
    assert len(ours) == 8
    row = ours["ours.slm.seed0"]
    assert row.group == "0.5B to 3B parameters"
    assert row.links.count("records/rho1_math9/ours.slm.seed0.json") == 11
    assert re.fullmatch(r"\d+\.\d–\d+\.\d ", row.small[-1])
    assert "](records/rho1_math9/ours.slm.seed0.json)" in markdown
    assert len(page.tables["table-2"]) == 12
    assert len(page.tables["table-general"]) == 2


def test_groups_put_the_best_average_first(full: tuple[Page, str, str]) -> None:
    groups: dict[str, list[float]] = {}
    for row in full[0].tables["table-1"]:
        average = numbers(row, 9)[0]
        groups.setdefault(row.group, []).append(-1.0 if average == "–" else float(average))
    assert len(groups) == 3
    assert all(values == sorted(values, reverse=True) for values in groups.values())


def test_partial_runs_stand_apart_and_nothing_of_them_is_marked(full: tuple[Page, str, str]) -> None:
    page, _, markdown = full
    partial = {key: rows for key, rows in page.tables.items() if key.startswith("partial") and "diff" not in key}
    assert sorted(row.name for rows in partial.values() for row in rows) == [
        "tiny.clm.seed0",
        "tiny.slm.seed0",
        "trial",
    ]
    assert not any(mark for rows in partial.values() for row in rows for mark in row.marked)
    ranked = [row.name for key, rows in page.tables.items() if key not in partial for row in rows]
    assert "trial" not in ranked
    assert "tiny.slm.seed0" not in ranked
    assert markdown.index("| trial |") > markdown.index("## Partial and miniature runs")


def test_differences_are_those_of_the_records_and_their_mean_over_seeds(tmp_path: Path) -> None:
    records = [record for seed in range(3) for record in fake_pair("ours", seed=seed)]
    page, _, _ = build(tmp_path, records)
    rows = [row for row in page.tables["differences-1"] if row.by == "rho1bench"]
    assert [row.name for row in rows] == ["mean of 3 seeds", "seed 0", "seed 1", "seed 2"]
    assert {row.group for row in rows} == {"ours: SLM − CLM"}
    values = [100 * record["comparison"]["average"]["difference"] for record in records if record["comparison"]]
    assert [float(row.cells[2]) for row in rows[1:]] == [round(value, 1) for value in values]
    spread = spread_over_seeds(values)
    assert spread.ci is not None
    assert float(rows[0].cells[2]) == round(spread.mean, 1)
    assert rows[0].small[2].startswith(f"{spread.ci.low:+.1f} to {spread.ci.high:+.1f} p ".replace("-", "−"))
    paper = [row.cells[2] for row in page.tables["differences-1"] if row.by == "paper"]
    assert paper == ["+16.5", "+10.4"]


def test_ablations_take_the_records_that_belong_to_them(full: tuple[Page, str, str]) -> None:
    page = full[0]
    for number, name in (("3", "ablated"), ("4", "ablated"), ("5", "strong")):
        assert [row.name for row in page.tables[f"table-{number}"] if row.by == "rho1bench"] == [name]


def test_a_mark_needs_more_than_chance() -> None:
    def contender(*values: float) -> Contender:
        return Contender([sum(values) / len(values), *values], [1000] * len(values), None)

    near, far = contender(50.0, 50.0), contender(50.5, 70.0)
    assert best_beyond_chance([near, far], ["a", "b"]) == {(1, 0), (1, 2)}
    assert best_beyond_chance([near, near], ["a", "b"]) == set()
    assert best_beyond_chance([near], ["a", "b"]) == set()
    unknown = Contender(near.values, [None, None], None)
    assert best_beyond_chance([unknown, far], ["a", "b"]) == set()


def test_two_of_our_rows_are_paired(tmp_path: Path) -> None:
    left, right = fake_pair("sure", gain=0.4)
    page, _, markdown = build(tmp_path, [left, right])
    marked = [row.name for row in page.tables["table-1"] if row.marked[3] and row.by == "rho1bench"]
    assert marked == ["sure.slm.seed0"]
    assert re.search(r"\| \*\*\[[\d.]+\]\(records/rho1_math9/sure\.slm", markdown)


def attacked(record: Json) -> Json:
    """Every text of a record that has no pattern, made hostile."""
    hostile = json.loads(json.dumps(record))
    hostile["model"] |= {"name": ATTACK, "source": ATTACK, "revision": ATTACK}
    hostile["command"] = ATTACK
    hostile["evaluation"] |= {"engine": ATTACK, "engine_version": ATTACK, "dtype": ATTACK, "device": ATTACK}
    hostile["evaluation"]["git"] = {"commit": ATTACK, "dirty": True}
    if hostile["training"]:
        hostile["training"] |= {
            "recipe": ATTACK,
            "stage": ATTACK + record["training"]["stage"],
            "selection": {"score": ATTACK, "ratio": 0.5},
        }
    return with_hashes(hostile)


def test_text_from_outside_is_only_ever_text(tmp_path: Path) -> None:
    pairs = [attacked(record) for suite in ("rho1_math9", "mini_tir7") for record in fake_pair("evil", suite=suite)]
    odd = fake_record("odd", suite="mini_math9", limit=3)
    odd["tasks"] = {f"{ATTACK}{index}": task for index, task in enumerate(odd["tasks"].values())}
    odd["id"], odd["suite"] = "other_suite/odd.limit3", "other_suite"
    page, html, markdown = build(tmp_path, [*pairs, attacked(odd)])
    assert html.count("<script") == 1
    assert len(page.scripts) == 1
    assert not any(tag == "img" or any(name.startswith("on") for name in attrs) for tag, attrs in page.tags)
    links = [str(attrs["href"]) for tag, attrs in page.tags if tag in ("a", "link")]
    assert len(links) > 50
    assert all(re.match(r"#|records/[a-z0-9_]+/[a-z0-9._-]+$|https://arxiv|data:,$|LEADERBOARD", one) for one in links)
    assert "<script" not in markdown
    assert "<img" not in markdown
    assert not re.search(r"(?<!\\)\]\((?!records/|https://arxiv|leaderboard\.html|#)", markdown)
    assert "https://evil" not in markdown
    assert not re.search(r"(?<!\\)\|`", markdown)
    assert len(list(markdown_tables(markdown))) > 10
    for table in markdown_tables(markdown):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def markdown_tables(markdown: str) -> Iterator[list[str]]:
    """Runs of lines that begin with a bar."""
    for is_table, lines in groupby(markdown.splitlines(), key=lambda line: line.startswith("|")):
        if is_table:
            yield list(lines)


def test_only_the_pages_own_style_and_script_may_act(full: tuple[Page, str, str]) -> None:
    page, html, _ = full
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for tag, source in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy
    assert not any("style" in attrs or any(name.startswith("on") for name in attrs) for _, attrs in page.tags)


def test_ids_are_unique_and_links_inside_the_page_lead_somewhere(full: tuple[Page, str, str]) -> None:
    page = full[0]
    assert len(page.ids) == len(set(page.ids)) > 20
    inside = [str(attrs["href"])[1:] for tag, attrs in page.tags if tag == "a" and str(attrs["href"]).startswith("#")]
    assert set(inside) <= set(page.ids)
    heads = [attrs for tag, attrs in page.tags if tag == "th"]
    assert len(heads) > 100
    assert all(attrs.get("scope") in ("row", "col", "rowgroup") for attrs in heads)


BUILD = """
import hashlib, sys
from pathlib import Path
from rho1bench.leaderboard.pages.build import pages
from rho1bench.leaderboard.records import checks, pins
pins.task_pins, checks.origin_problems = dict, lambda record, results: iter(())  # invented test sets and recipes
texts, problems = pages(Path(sys.argv[1]))
assert not problems
print({name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()})
"""


def test_names_of_recipes_lead_figures_nowhere(tmp_path: Path) -> None:
    pair = [dict(record) for record in fake_pair("one", seed=1)]
    for record in pair:
        record["training"] = record["training"] | {"recipe": "../../Evil <recipe>"}
    texts, _ = pages(write_results(tmp_path, [with_hashes(record) for record in pair]))
    figures = [name for name in texts if name.endswith(".svg")]
    assert figures
    assert all(Path(name).parts[0] == "figures" and len(Path(name).parts) == 2 for name in figures)
    assert not any(set(name) & set("<> ") or ".." in name for name in figures)


def test_the_same_records_give_the_same_bytes_anywhere(tmp_path: Path) -> None:
    records = [*fake_pair("one", seed=1), *fake_pair("two", suite="mini_math9"), fake_record("three", limit=4)]
    settings = (
        ("a", {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"}, records),
        ("b/deeper", {"PYTHONHASHSEED": "2", "TZ": "America/New_York", "LC_ALL": "de_DE.UTF-8"}, records[::-1]),
    )
    outputs = []
    for name, variables, order in settings:
        folder = write_results(tmp_path / name, order)
        command = [sys.executable, "-c", BUILD, str(folder) if name == "a" else "."]
        place = tmp_path if name == "a" else folder
        done = subprocess.run(
            command, env=os.environ | variables, cwd=place, capture_output=True, text=True, check=True
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert sorted(ast.literal_eval(outputs[0])) == [
        "LEADERBOARD.md",
        "contest.schema.json",
        "figures/mini_math9.two.slm.svg",
        "figures/rho1_math9.one.slm.svg",
        "leaderboard.html",
        "record.schema.json",
    ]
    for text in pages(tmp_path / "a")[0].values():
        assert str(tmp_path) not in text
