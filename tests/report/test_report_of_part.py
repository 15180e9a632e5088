"""Reports of runs that lack something: curves, an evaluation, a comparison."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

from report_pages import Tags, published, summary_of, without_costs

from rho1bench.comparison.run_summary import read_summary
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import AtlasStage, Recipe
from rho1bench.rendering import numbers as fmt
from rho1bench.report import stage as report_stage
from rho1bench.system.files import read_json


def without_curves(run_recipe: Recipe) -> Recipe:
    stages = [
        stage if stage.kind != "report" else stage.model_copy(update={"curves": []}) for stage in run_recipe.stages
    ]
    return run_recipe.model_copy(update={"stages": stages})


def test_report_without_curves_probe_and_trajectory(copied: StageContext) -> None:
    (copied.input("slm") / "selected_tokens.jsonl").unlink()
    for path in copied.input("eval").glob("*@*"):
        shutil.rmtree(path)
    without_costs(copied)
    bare = without_curves(copied.recipe)
    report_stage.run(replace(copied, recipe=bare, stage=bare.stage("report")))
    html = published(copied, "report.html")
    Tags(html)
    assert "Accuracy against tokens" not in html
    assert "Which tokens" not in html
    assert "![" not in published(copied, "report.md")
    summary = summary_of(copied)
    assert (summary["trajectory"], summary["tokens_to_baseline"], summary["validation_losses"]) == ([], [], {})


def part_of_run(context: StageContext, *kinds: str) -> StageContext:
    """The same run without stages of some kinds, and a report that does not name them."""
    report = context.stage.model_copy(
        update={"comparison": None, "curves": [], **({"evaluation": None} if "eval" in kinds else {})}
    )
    stages = [stage for stage in context.recipe.stages if stage.kind not in (*kinds, "report")]
    recipe = context.recipe.model_copy(update={"stages": [*stages, report]})
    inputs = {stage.name: context.inputs[stage.name] for stage in stages}
    return replace(context, recipe=recipe, stage=report, inputs=inputs)


def test_a_run_that_evaluates_nothing_has_losses_throughput_and_passages(copied: StageContext) -> None:
    context = part_of_run(copied, "eval", "compare", "sft")
    report_stage.run(context)
    html, markdown = published(context, "report.html"), published(context, "report.md")
    Tags(html)
    assert re.search(r"SLM ends with a loss of \d\.\d{4} nats a token on its validation corpus \(one seed\)", html)
    assert re.search(r'class="evidence">.*CLM \d\.\d{4}<', html)
    for words in ("Losses against tokens", "Which tokens SLM selects", "Tokens/s", "<code>rho1bench atlas RUN</code>"):
        assert words in html
    for words in ("answers.html", "All checkpoints", "What it cost", "evaluation by"):
        assert words not in html
        assert words not in markdown
    assert not (context.folder / "publish/answers.html").exists()
    training = read_json(context.input("slm") / "training.json")
    speed = fmt.short_count(training["tokens"] / training["cost"]["seconds"])
    assert f"| {speed} |" in next(line for line in markdown.splitlines() if line.startswith("| slm | base |"))
    summary = read_summary(context.folder / "publish/summary.json")
    assert (summary.engine, summary.scores) == (None, {})


def test_a_run_that_compares_nothing_tells_its_scores_and_links_its_atlas(copied: StageContext) -> None:
    context = part_of_run(copied, "compare")
    atlas = AtlasStage(name="atlas", kind="atlas", corpus="web", checkpoints=["slm"])
    recipe = context.recipe.model_copy(update={"stages": [*context.recipe.stages[:-1], atlas, context.stage]})
    report_stage.run(replace(context, recipe=recipe, inputs={**context.inputs, "atlas": context.folder}))
    html = published(context, "report.html")
    Tags(html)
    assert re.search(r"SLM-SFT \d\d\.\d% on mini_math9 \(one seed\)", html)
    assert '<a href="atlas.html">Token atlas</a>' in html
    assert '<a href="answers.html">Answers to read</a>' in html
    assert "rho1bench atlas RUN" not in html
