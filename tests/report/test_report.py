"""The report stage on a plausible finished run: contract, honesty of the numbers, self-containment, escaping."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import MATH9, recipe, write_run
from report_pages import Tags, published, summary_of, without_costs

from rho1bench.comparison.console_table import comparison_table
from rho1bench.comparison.run_summary import read_summary
from rho1bench.comparison.seeds import summarise
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import Recipe
from rho1bench.rendering import numbers as fmt
from rho1bench.rendering.templates import escape_markdown
from rho1bench.report import pages
from rho1bench.report import stage as report_stage
from rho1bench.system.files import read_json, read_jsonl, write_json, write_jsonl

ATTACK = "</span></p><script>alert(1)</script>|`*[x](javascript:1)"


def test_summary_keeps_the_contract(context: StageContext) -> None:
    summary = summary_of(context)
    assert (summary["schema"], summary["recipe"], summary["seed"]) == (1, "quickstart", 0)
    suite = summary["scores"]["mini_math9"]
    assert set(suite["average"]) == {"base", "clm", "slm", "clm-sft", "slm-sft"}
    assert list(suite["tasks"]) == MATH9
    task = suite["tasks"]["mini_gsm8k"]
    assert (task["metric"], task["n"], set(task["checkpoints"])) == ("exact_match", 120, set(suite["average"]))
    assert summary["comparisons"] == read_json(context.input("compare") / "comparison.json")["pairs"]
    assert summary["training"]["slm"]["max_steps"] == 200
    assert set(summary["stages"]) == set(context.inputs)
    assert all(entry["seconds"] > 0 for entry in summary["stages"].values())
    assert summary["validation_losses"].keys() == {"slm", "clm"}
    assert summary["engine"] == {"name": "hf", "version": "5.19.0", "dtype": "float32"}


def test_trajectory_stands_on_common_documents(context: StageContext) -> None:
    points = [point for point in summary_of(context)["trajectory"] if point["stage"] == "slm"]
    assert [point["label"] for point in points] == [
        "base",
        "slm@000040",
        "slm@000080",
        "slm@000120",
        "slm@000160",
        "slm",
    ]
    assert [point["step"] for point in points] == [0, 40, 80, 120, 160, 200]
    assert [point["tokens"] for point in points] == [step * 6144 for step in (0, 40, 80, 120, 160, 200)]
    assert {point["n"] for point in points} == {360}
    last = points[-1]
    samples = [read_jsonl(context.input("eval") / "slm" / f"samples_{task}.jsonl")[:40] for task in MATH9]
    expected = sum(sum(row["score"] for row in rows) / 40 for rows in samples) / 9
    assert last["average"] == pytest.approx(expected)
    assert last["ci"][0] < last["average"] < last["ci"][1]


def test_speedup_is_read_off_the_trajectory(context: StageContext) -> None:
    summary = summary_of(context)
    (entry,) = summary["tokens_to_baseline"]
    averages = {point["label"]: point["average"] for point in summary["trajectory"]}
    assert entry["target"] == pytest.approx(averages["clm"])
    reached = entry["tokens"] / 6144
    below = max(step for step in (40, 80, 120, 160) if averages[f"slm@{step:06d}"] < entry["target"])
    assert below < reached <= below + 40
    assert entry["share"] == pytest.approx(reached / 200)
    assert entry["share_ci"][0] <= entry["share"] <= entry["share_ci"][1]


def test_costs_go_from_the_stages_to_the_pages(context: StageContext) -> None:
    summary = summary_of(context)
    per_step = 6e6 * 6144
    assert summary["costs"]["clm"]["total"]["flops"] == 200 * per_step
    slm = summary["costs"]["slm"]
    assert [part["stage"] for part in slm["stages"]] == ["reference", "scores", "slm"]
    assert slm["total"]["flops"] == pytest.approx(350 * per_step + 1.2e12)
    assert [part["stage"] for part in slm["shared"]] == ["base"]
    (entry,) = summary["tokens_to_baseline"]
    counted = entry["counted"]
    assert counted["share"] == pytest.approx((150 * per_step + 1.2e12) / (200 * per_step) + entry["share"])
    (equal,) = summary["equal_flops"]
    assert equal["reading"]["flops"] == 200 * per_step
    assert equal["reading"]["treatment_tokens"] == pytest.approx(200 * 6144 - (150 * per_step + 1.2e12) / 6e6)
    start, *_ = [point for point in summary["trajectory"] if point["stage"] == "slm"]
    assert start["flops"] == pytest.approx(150 * per_step + 1.2e12)
    html, markdown = published(context, "report.html"), published(context, "report.md")
    row = ["SLM", "7.37e12", "reference, scores", "6.73e12", "1.41e13"]
    assert "".join(f"<td>{cell}</td>" for cell in row[3:]) in html
    assert f"| {' | '.join(row)} |" in markdown
    assert "base, from which all of them start, is left out" in html


def test_a_run_of_an_earlier_version_has_no_costs(copied: StageContext) -> None:
    without_costs(copied)
    report_stage.run(copied)
    Tags(published(copied, "report.html"))
    assert "What it cost" not in published(copied, "report.html")
    assert "What it cost" not in published(copied, "report.md")
    summary = summary_of(copied)
    assert (summary["costs"], summary["equal_flops"]) == ({}, [])
    assert summary["tokens_to_baseline"][0]["counted"] is None


def test_pages_print_the_numbers_of_the_summary(context: StageContext) -> None:
    html, markdown = published(context, "report.html"), published(context, "report.md")
    for pair in summary_of(context)["comparisons"]:
        for task, entry in pair["tasks"].items():
            cells = [fmt.percent(entry["treatment"]), fmt.percent(entry["baseline"]), fmt.points(entry["difference"])]
            row = re.search(rf'<th scope="row">{task}</th><td>{cells[0]}</td><td>{cells[1]}</td>.*', html)
            assert row is not None
            assert cells[2] in row.group()
            assert fmt.interval(entry["ci"]) in row.group()
            assert any(f"| {task} | {cells[0]} | {cells[1]} |" in line for line in markdown.splitlines())
    difference = summary_of(context)["comparisons"][0]["suites"]["mini_math9"]["difference"]
    headline = f"SLM beats CLM by {100 * difference:.1f} points on mini_math9 (one seed)"
    assert headline in html
    assert headline in markdown


def test_html_nests_and_is_accessible(context: StageContext) -> None:
    html = published(context, "report.html")
    tags = Tags(html).seen
    names = [tag for tag, _ in tags]
    assert dict(tags)["html"] == {"lang": "en"}
    assert names.count("h1") == 1
    assert names.count("table") == names.count("caption")
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in tags if tag == "th")
    for tag, attributes in tags:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes["href"] for tag, attributes in tags if tag == "a"]
    inside = [target for target in targets if target is not None and target.startswith("#")]
    assert {target.removeprefix("#") for target in inside} <= set(ids)
    assert set(targets) - set(inside) == {
        "answers.html",
        "answers.html#a=slm&b=clm",
        "answers.html#a=slm-sft&b=clm-sft",
    }
    assert (context.folder / "publish/answers.html").is_file()


def test_html_asks_for_nothing_else(context: StageContext) -> None:
    html = published(context, "report.html")
    assert len(html.encode()) < 1_500_000
    for tag, attributes in Tags(html).seen:
        assert tag not in ("script", "img", "iframe", "object", "embed")
        for name in ("src", "href", "srcset", "data", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,", "answers.html"))
    style = "".join(re.findall(r"<style>(.*?)</style>", html, re.S))
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme:dark" in style


def test_markdown_shows_figures_that_exist(context: StageContext) -> None:
    links = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", published(context, "report.md"))
    assert [path for _, path in links] == [
        "figures/figure-1-mini_math9.svg",
        "figures/cost-mini_math9.svg",
        "figures/cost-mini_general15.svg",
        "figures/cost-mini_tir7.svg",
        "figures/figure-6-loss-selected.svg",
        "figures/figure-6-loss-unselected.svg",
        "figures/figure-6-validation-loss.svg",
    ]
    for alt, path in links:
        assert "from" in alt or "On the front" in alt
        ET.fromstring(published(context, path))


def test_markdown_tables_are_even(context: StageContext) -> None:
    width = None
    for line in published(context, "report.md").splitlines():
        if not line.startswith("|"):
            width = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        assert width in (None, cells), line
        width = cells


def test_passages_mark_what_was_selected(context: StageContext) -> None:
    html = published(context, "report.html")
    row = read_jsonl(context.input("slm") / "selected_tokens.jsonl")[16]
    assert (row["step"], row["block"]) == (200, 0)
    block = re.search(r'<h3>Block 0, 100% of training: \d+% selected</h3>\n<p class="passage">(.*?)</p>', html, re.S)
    assert block is not None
    assert len(re.findall("<mark ", block.group(1))) == sum(row["selected"])
    text = re.sub(r"<[^>]+>", "", block.group(1)).replace("&lt;s&gt;", "<s>")
    assert text.replace("↵", "").replace("\n", "") == "".join(row["pieces"]).replace("\n", "")
    assert text.count("↵") == "".join(row["pieces"]).count("\n")


def test_same_inputs_same_bytes(context: StageContext, copied: StageContext) -> None:
    report_stage.run(copied)
    here, there = context.folder / "publish", copied.folder / "publish"
    files = sorted(path.relative_to(here) for path in here.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(there) for path in there.rglob("*") if path.is_file())
    for name in files:
        assert (here / name).read_bytes() == (there / name).read_bytes(), name


def test_injected_markup_is_shown_as_text(copied: StageContext) -> None:
    rows = read_jsonl(copied.input("slm") / "selected_tokens.jsonl")
    for row in rows:
        row["pieces"][3], row["kinds"][3] = ATTACK, ATTACK
    write_jsonl(copied.input("slm") / "selected_tokens.jsonl", rows)
    for label in ("slm", "clm", "base"):
        path = copied.input("eval") / label / "results.json"
        results = read_json(path)
        results["rho1bench"]["engine"] = ATTACK
        write_json(path, results)
    spoilt = copied.recipe.model_copy(update={"description": ATTACK})
    report_stage.run(replace(copied, recipe=spoilt))
    html, markdown = published(copied, "report.html"), published(copied, "report.md")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    Tags(html)
    outside_code = re.sub(r"```yaml.*?```", "", markdown, flags=re.S)
    assert "<script" not in outside_code
    assert "[x](javascript" not in outside_code


def test_markdown_escaping() -> None:
    assert escape_markdown("a|b `c` *d* _e_ mini_math9 <x> [l](u)\n# no") == (
        "a\\|b \\`c\\` \\*d\\* \\_e\\_ mini_math9 &lt;x&gt; \\[l\\](u) # no"
    )


def test_recipe_block_cannot_be_closed_from_inside() -> None:
    block = pages._fenced("description: '```` out'\n")
    assert block.startswith("`````yaml\n")
    assert block.endswith("\n`````")


def test_null_result_is_called_one(tmp_path: Path) -> None:
    context = write_run(tmp_path, recipe(treatment="base2"), treatment="base2")
    pair = read_json(context.input("compare") / "comparison.json")
    for entry in [*pair["pairs"][0]["suites"].values(), *pair["pairs"][0]["tasks"].values()]:
        entry.update(difference=0.002, ci=[-0.01, 0.014], p=0.7, p_holm=0.7)
    write_json(context.input("compare") / "comparison.json", pair)
    report_stage.run(context)
    assert (
        '<p class="headline">No significant difference between base2 and CLM on mini_math9 (one seed)</p>'
        in published(context, "report.html")
    )


@pytest.mark.parametrize(
    ("stage", "name", "content"),
    [
        ("slm", "training.json", "{"),
        ("slm", "metrics.jsonl", None),
        ("compare", "comparison.json", "{}"),
        ("eval", "slm/results.json", "[]"),
    ],
)
def test_broken_inputs_are_named(copied: StageContext, stage: str, name: str, content: str | None) -> None:
    path = copied.input(stage) / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DataError) as caught:
        report_stage.run(copied)
    assert str(path) in str(caught.value)
    assert not (copied.folder / "publish/summary.json").exists()


def test_summary_feeds_the_table_and_the_seeds(context: StageContext, tmp_path: Path) -> None:
    for seed in (1, 2):
        write_json(tmp_path / f"seed-{seed}/summary.json", summary_of(context) | {"seed": seed})
    summarise(tmp_path, [1, 2])
    over_seeds = read_json(tmp_path / "summary.json")
    assert over_seeds["pairs"][0]["validation_loss"]["num_positive"] == 0
    assert comparison_table(read_summary(tmp_path / "summary.json")).row_count == 5
    assert comparison_table(read_summary(context.folder / "publish/summary.json")).row_count == 5
    json.dumps(over_seeds, allow_nan=False)


def test_benchmark_texts_in_a_corpus_are_told(copied: StageContext) -> None:
    found = {"decontaminate": "report", "documents": 3, "tokens": 450, "texts": 4, "examples": []}
    found["tasks"] = {"mini_gsm8k": {"question": 1, "answer": 2}, "mini_boolq": {"question": 1}}
    source = {"source": "crawl|1", "num_documents": 1000, "num_tokens": 90_000, "benchmark_overlap": found}
    texts = {"texts": 900, "looked_for": 800, "sha256": "a" * 64, "tasks": {}}
    write_json(copied.inputs["web"] / "corpus.json", {"num_blocks": 0, "sources": [source], "benchmark_texts": texts})
    told = recipe().model_dump()
    told["stages"].insert(0, {"name": "tests", "kind": "benchmark_texts", "suites": ["mini_math9"]})
    told["stages"][2]["benchmark_texts"] = "tests"
    report_stage.run(replace(copied, recipe=Recipe.model_validate(told)))
    assert summary_of(copied)["benchmark_overlap"]["web"]["sources"][0]["tasks"] == found["tasks"]
    row = r"| web | crawl\|1 | 3 (0.30%) | 450 (0.50%) | 4 | mini_gsm8k 3, mini_boolq 1 | kept |"
    assert row in published(copied, "report.md").replace(r"\_", "_")
    assert "800 questions and answers of benchmarks" in published(copied, "report.html")
