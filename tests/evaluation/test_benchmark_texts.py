"""The stage ``benchmark_texts``: questions and answers of tasks, once each, and what of them can be looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from rho1bench import mini_world
from rho1bench.corpus.decontamination import BenchmarkText, read_benchmark_texts
from rho1bench.corpus.overlap import load_index
from rho1bench.errors import RecipeError
from rho1bench.evaluation import benchmark_texts
from rho1bench.evaluation.data.math_sets import MATH_SETS
from rho1bench.evaluation.data.pinned_files import read_rows
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import BenchmarkTextsStage, CorpusStage, Recipe
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.smoke import smoke
from rho1bench.system.data_root import use_data_folder
from rho1bench.system.progress import SilentProgress

RECIPE = """
name: searched
stages:
  - {name: tests, kind: benchmark_texts, suites: [math, rho1_mmlu]}
  - {name: tokenizer, kind: tokenizer, vocab_size: 448, sources: [{type: mini_world, text: web, num_documents: 9}]}
  - name: web
    kind: corpus
    tokenizer: tokenizer
    benchmark_texts: tests
    block_size: 64
    sources: [{type: hub, dataset: a/b, decontaminate: drop}]
"""


def gathered(folder: Path, *suites: str) -> list[BenchmarkText]:
    stage = {"name": "tests", "kind": "benchmark_texts", "suites": list(suites)}
    recipe = Recipe.model_validate({"name": "tests", "stages": [stage]})
    benchmark_texts.run(StageContext(recipe, recipe.stages[0], folder, {}, 0, SilentProgress()))
    return read_benchmark_texts(folder)[0]


def test_texts_of_every_kind_of_task(tmp_path: Path) -> None:
    texts = gathered(tmp_path, "mini_gsm8k", "mini_gsm8k_tir", "mini_arc_easy", "mini_winogrande", "mini_humaneval")
    first = {(text["tasks"][0], text["part"], text["doc_id"]): text["text"] for text in texts}
    problem = mini_world.make_problems("gsm8k", "test", 1, 2404)[0]
    assert first["mini_gsm8k", "question", "0"] == problem.question
    assert (
        first["mini_gsm8k", "answer", "0"] == problem.solution.removesuffix(f"The answer is {problem.answer}.").strip()
    )
    assert first["mini_arc_easy", "answer", "0"] == "the sun"
    assert first["mini_winogrande", "question", "0"].endswith("because the cup was too big.")
    assert "return a + b" in first["mini_humaneval", "answer", "0"]
    assert {tuple(text["tasks"]) for text in texts if "mini_gsm8k_tir" in text["tasks"]} == {
        ("mini_gsm8k", "mini_gsm8k_tir")
    }
    summary = read_benchmark_texts(tmp_path)[1]
    assert summary["texts"] == len(texts)
    assert 0 < summary["looked_for"] < len(texts)
    assert summary["tasks"]["mini_gsm8k_tir"] == summary["tasks"]["mini_gsm8k"]
    (overlap,) = load_index(tmp_path).find([f"So it is said that {problem.question}"])
    assert overlap is not None
    assert texts[overlap.texts[0]]["text"] == problem.question


def test_texts_of_real_tasks(shared_data: Path, tmp_path: Path) -> None:
    use_data_folder(shared_data / "data")
    try:
        texts = gathered(tmp_path, "rho1_gsm8k_cot", "rho1_sat_cot", "rho1_hellaswag")
        rows = read_rows(MATH_SETS["gsm8k"])
    finally:
        use_data_folder(None)
    by_task = {name: [text for text in texts if name in text["tasks"]] for name in ("rho1_gsm8k_cot", "rho1_hellaswag")}
    assert by_task["rho1_gsm8k_cot"][0]["text"] == rows[0]["question"]
    assert by_task["rho1_gsm8k_cot"][1]["text"].startswith("Janet sells 16 - 3 - 4 = 9 duck eggs a day.")
    assert by_task["rho1_hellaswag"][0]["text"].startswith("Pole vault is a sport")
    assert not any("right choice" in text["text"] for text in texts)
    summary = read_benchmark_texts(tmp_path)[1]
    assert summary["tasks"]["rho1_gsm8k_cot"]["whole"] == 1319
    assert summary["tasks"]["rho1_gsm8k_cot"]["looked_for"] > 1319


def test_in_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "searched.yaml"
    path.write_text(RECIPE)
    recipe = load_recipe(str(path))
    assert recipe.stage("tests", BenchmarkTextsStage).suites == ["rho1_math9", "rho1_mmlu"]
    small = smoke(recipe)
    assert small.stage("tests", BenchmarkTextsStage).suites == ["mini_math9", "mini_mmlu"]
    assert small.stage("web", CorpusStage).sources[0].decontaminate == "drop"
    path.write_text(RECIPE.replace("math, rho1", "maths, rho1"))
    with pytest.raises(RecipeError, match=r"there is no suite, group or task 'maths'.*did you mean"):
        load_recipe(str(path))
    path.write_text(RECIPE.replace("benchmark_texts: tests", "benchmark_texts: tokenizer"))
    with pytest.raises(RecipeError, match="benchmark_texts"):
        load_recipe(str(path))
