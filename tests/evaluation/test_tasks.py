"""The task files: how many there are, what prompts they make, that known answers score and wrong ones do not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from oracle import Oracle

from rho1bench import mini_world
from rho1bench.errors import RunError
from rho1bench.evaluation.harness.lm_eval_tasks import Tasks, count_requests, run_unit, tool_tasks
from rho1bench.evaluation.tasks.mini_tasks import TEST_SEED, word_f1
from rho1bench.paper.suites import SUITES, find_suites, split_work, suite_averages
from rho1bench.system.paths import tasks_dir


@pytest.fixture(scope="module")
def tasks() -> Tasks:
    return Tasks()


def answers_of(loaded: dict[str, Any], right: bool) -> dict[str, str]:
    found = {}
    for name, task in loaded.items():
        if task.OUTPUT_TYPE == "multiple_choice":
            continue
        for doc in task.eval_docs:
            prompt = task.fewshot_context(doc, task.get_config("num_fewshot"))
            found[prompt] = (_right if right else _wrong)(name, doc)
    return found


def _right(name: str, doc: dict[str, Any]) -> str:
    if name.endswith("_tir"):
        return f"```python\nprint({doc['answer']!r})\n```\n"
    if "answers" in doc:
        return f" {doc['answers'][-1]}"
    return str(doc["solution"]) if "solution" in doc else f" {doc['answer']}."


def _wrong(name: str, doc: dict[str, Any]) -> str:
    if name.endswith("_tir"):
        return "```python\nprint(987654)\n```\n"
    if name in ("mini_humaneval", "mini_mbpp"):
        return "    return 'nonsense'\n" if name == "mini_humaneval" else "def nothing(): pass\n"
    return " The answer is 987654."


def mini_names(tasks: Tasks) -> list[str]:
    return [name for name in tasks.names if name.startswith("mini_")]


def test_all_mini_tasks_and_groups_load(tasks: Tasks):
    mini = mini_names(tasks)
    assert len(mini) == 29
    assert {name: len(members) for name, members in tasks.groups.items() if name.startswith("mini_")} == {
        "mini_math9": 9,
        "mini_tir7": 7,
        "mini_general13": 13,
    }
    loaded = tasks.load(mini)
    assert sorted(loaded) == sorted({task for suite in SUITES.values() for task in suite if task.startswith("mini_")})
    assert all(len(loaded[name].eval_docs) == 120 for name in SUITES["mini_math9"] + SUITES["mini_tir7"])
    assert len(SUITES["mini_math9"]) + len(SUITES["mini_general15"]) == 24
    assert len({*SUITES["mini_math9"], *SUITES["mini_general15"]}) == 22


def test_groups_and_suites_name_the_same_tasks(tasks: Tasks):
    for group in ("mini_math9", "mini_tir7"):
        assert set(tasks.groups[group]) == set(SUITES[group])
    assert {*tasks.groups["mini_general13"], "mini_gsm8k", "mini_math500"} == set(SUITES["mini_general15"])


@pytest.mark.parametrize("family", mini_world.MATH_TASKS)
def test_prompts_follow_the_protocol(family: str, tasks: Tasks):
    task = tasks.load([f"mini_{family}"])[f"mini_{family}"]
    shots = mini_world.exemplars(family, task.get_config("num_fewshot"))
    problems = mini_world.make_problems(family, "test", 120, TEST_SEED)
    for problem, doc in zip(problems, task.eval_docs, strict=True):
        assert task.fewshot_context(doc, len(shots)) == mini_world.cot_prompt(problem, shots)
    assert "\n\n\n" in mini_world.cot_prompt(problems[0], shots)


def test_stop_strings_are_those_of_the_paper(tasks: Tasks):
    loaded = tasks.load(["mini_gsm8k", "mini_gsm8k_tir"])
    assert loaded["mini_gsm8k"].get_config("generation_kwargs")["until"] == ["</s>", *mini_world.COT_STOP]
    assert loaded["mini_gsm8k_tir"].get_config("generation_kwargs")["until"] == ["</s>", "\n\n---", "```output"]
    settings = tool_tasks(loaded)
    assert list(settings) == ["mini_gsm8k_tir"]
    assert (settings["mini_gsm8k_tir"].max_calls, settings["mini_gsm8k_tir"].timeout) == (4, 5.0)


def test_known_answers_score_one_and_wrong_ones_zero(tasks: Tasks):
    names = [name for name in mini_names(tasks) if not name.endswith("_tir") or name == "mini_math500_tir"]
    loaded = tasks.load(names)
    for right in (True, False):
        seen = 0

        def tick(finished: int) -> None:
            nonlocal seen
            seen += finished

        model = Oracle(answers_of(loaded, right), right)
        limit = 12
        unit = run_unit(model, loaded, limit, tick)
        assert seen == count_requests(loaded, limit)
        for name, task in loaded.items():
            metric = task.get_config("metric_list")[0]["metric"]
            score = unit.results["results"][name][f"{metric},none"]
            assert score == (1.0 if right else 0.0), name


@pytest.mark.parametrize(
    ("prediction", "answer", "f1"),
    [
        ("1889", "1889", 1.0),
        ("The tower.", "tower", 1.0),
        ("in the year 1889", "in 1889", 0.8),
        ("red blue", "green", 0.0),
        ("", "x", 0.0),
        ("the", "a", 1.0),
    ],
)
def test_word_f1(prediction: str, answer: str, f1: float):
    assert word_f1(prediction, answer) == pytest.approx(f1)
    assert word_f1(prediction, answer) == word_f1(answer, prediction)


def test_unknown_suites_get_a_near_name(tasks: Tasks):
    assert [s.name for s in find_suites(["mini_math9", "mini_piqa"], tasks.groups, tasks.names)] == [
        "mini_math9",
        "mini_piqa",
    ]
    with pytest.raises(RunError, match="Did you mean 'mini_math9'"):
        find_suites(["mini_mth9"], tasks.groups, tasks.names)


def test_shared_tasks_run_once(tasks: Tasks):
    suites = find_suites(["mini_math9", "mini_general15"], tasks.groups, tasks.names)
    units = split_work(suites)
    assert [(name, len(members)) for name, members in units] == [("mini_math9", 9), ("mini_general15", 13)]
    scores = {task: 0.5 for suite in suites for task in suite.tasks} | {"mini_gsm8k": 1.0}
    averages = {name: facts["average"] for name, facts in suite_averages(suites, scores).items()}
    assert averages["mini_math9"] == pytest.approx((8 * 0.5 + 1) / 9)
    assert averages["mini_general15"] == pytest.approx((14 * 0.5 + 1) / 15)
    del scores["mini_piqa"]
    assert list(suite_averages(suites, scores)) == ["mini_math9"]


def test_lm_eval_alone_runs_a_group(checkpoints: dict[str, Path]):
    """With the folder of tasks, and nothing else of ours."""
    import lm_eval.tasks
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    found = simple_evaluate(
        model=HFLM(str(checkpoints["late"]), dtype="float32", device="cpu", batch_size=8),
        tasks=["mini_math9"],
        task_manager=lm_eval.tasks.TaskManager(include_path=str(tasks_dir()), include_defaults=False),
        limit=1,
        bootstrap_iters=0,
        gen_kwargs={"max_gen_toks": 8},
    )
    assert found is not None
    assert_all_scored(found["results"], ["mini_math9"])


def assert_all_scored(results: dict[str, Any], groups: list[str]) -> None:
    assert set(results) - set(groups) == {task for group in groups for task in SUITES[group]}
    assert len(results) == 10 * len(groups)
    assert all("exact_match,none" in row for row in results.values())


@pytest.mark.sweep
def test_the_command_of_lm_eval_runs_the_groups(
    checkpoints: dict[str, Path],
    process_environment: dict[str, str],
    shared_data_if_there: Path | None,
    tmp_path: Path,
):
    """The mini tasks; and, where their data are at hand, the real ones (whose prompts outgrow the small model)."""
    groups, environment = ["mini_math9"], process_environment
    if shared_data_if_there is not None:
        groups.append("rho1_math9")
        environment = environment | {"RHO1BENCH_DATA": str(shared_data_if_there / "data")}
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--tasks", ",".join(groups), "--limit", "2"]
    command += ["--model_args", f"pretrained={checkpoints['late']},dtype=float32", "--device", "cpu"]
    command += ["--include_path", str(tasks_dir()), "--batch_size", "8", "--output_path", str(tmp_path / "out")]
    command += ["--gen_kwargs", "max_gen_toks=16"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = (tmp_path / "out").rglob("results_*.json")
    assert_all_scored(json.loads(path.read_text())["results"], groups)
