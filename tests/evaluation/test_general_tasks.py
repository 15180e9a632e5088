"""The fifteen general benchmarks on invented rows: settings, known answers, one score each, the suite end to end."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from invented_data import pin, write_folder
from invented_general import write_general
from rich.console import Console

from rho1bench.comparison.eval_results import read_label
from rho1bench.errors import DataError
from rho1bench.evaluation.cached_model import LogLikelihood
from rho1bench.evaluation.command import EvalOptions, evaluate
from rho1bench.evaluation.engines import Generation, Request, Tick
from rho1bench.evaluation.harness.lm_eval_tasks import Tasks, count_requests, run_unit
from rho1bench.evaluation.records import sample_rows, unit_record
from rho1bench.paper.suites import SUITES, find_suites, split_work, suites_called
from rho1bench.system.files import read_json, read_jsonl

GENERAL13 = SUITES["rho1_general15"][:13]

SETTINGS: dict[str, tuple[int, str, int, str, float]] = {
    "rho1_mmlu": (57, "acc", 5, "multiple_choice", 1.0),
    "rho1_bbh": (27, "exact_match", 3, "generate_until", 4.0),
    "rho1_agieval": (10, "acc", 0, "multiple_choice", 1.0),
    "rho1_arc_easy": (1, "acc_norm", 0, "multiple_choice", 1.0),
    "rho1_arc_challenge": (1, "acc_norm", 0, "multiple_choice", 1.0),
    "rho1_boolq": (1, "acc", 0, "multiple_choice", 2.0),
    "rho1_piqa": (1, "acc_norm", 0, "multiple_choice", 1.0),
    "rho1_hellaswag": (1, "acc_norm", 0, "multiple_choice", 1.0),
    "rho1_winogrande": (1, "acc", 0, "multiple_choice", 1.0),
    "rho1_openbookqa": (1, "acc_norm", 0, "multiple_choice", 1.0),
    "rho1_humaneval": (2, "pass@1", 0, "generate_until", 2.0),
    "rho1_mbpp": (2, "pass@1", 3, "generate_until", 2.0),
    "rho1_tydiqa": (9, "f1", 1, "generate_until", 1.0),
}
"""Tasks, score, exemplars, kind, and the version of lm-eval's tasks (or of ours)."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_general(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def tasks(data: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHO1BENCH_DATA", str(data))
        tasks = Tasks()
        assert "mmlu_anatomy" not in tasks.names, "lm-eval's own tasks are looked through before they are asked for"
        tasks.load(GENERAL13)
        yield tasks


class Oracle:
    """A model that knows the answers, or gives wrong ones to the documents that ``right`` refuses."""

    def __init__(self, loaded: dict[str, Any], right: Callable[[str, int], bool]) -> None:
        self._loaded = loaded
        self._right = right

    def complete(self, requests: Sequence[Request], tick: Tick) -> list[Generation]:
        tick(len(requests))
        return [Generation(self._text(request), "stop", 1, 1) for request in requests]

    def _text(self, request: Request) -> str:
        assert request.source is not None
        name, doc_id = request.source
        doc = self._loaded[name].eval_docs[doc_id]
        if not self._right(name, doc_id):
            return "    return 'nonsense'\n"
        answer = doc.get("target") or doc.get("answer") or doc.get("solution") or doc["answers"][-1]
        return f"So the answer is {answer}." if name.startswith("bbh") else str(answer)

    def loglikelihoods(self, pairs: Sequence[Any], tick: Tick) -> list[LogLikelihood]:
        tick(len(pairs))
        return [self._loglikelihood(pair) for pair in pairs]

    def _loglikelihood(self, pair: Any) -> LogLikelihood:
        task = self._loaded[pair.task_name]
        gold = task.doc_to_text(pair.doc) if task.multiple_input else task.doc_to_target(pair.doc)
        hit = pair.idx == int(gold[0] if isinstance(gold, list) else gold)
        return LogLikelihood(0.0 if hit == self._right(pair.task_name, pair.doc_id) else -90.0, False, 1, True)


def record_of(tasks: Tasks, names: Sequence[str], right: Callable[[str, int], bool]) -> tuple[dict[str, Any], Any]:
    """Run the benchmarks on the oracle; return the unit's record and lm-eval's results."""
    loaded = tasks.load(names)
    seen = 0

    def tick(finished: int) -> None:
        nonlocal seen
        seen += finished

    unit = run_unit(Oracle(loaded, right), loaded, None, tick)
    assert seen == count_requests(loaded, None)
    rows = {name: sample_rows(task, name, unit) for name, task in loaded.items()}
    return unit_record(loaded, tasks.benchmarks(names), unit, rows, 0.0), unit.results["results"]


def test_settings_are_the_pinned_ones(tasks: Tasks):
    assert set(SETTINGS) == set(GENERAL13)
    assert len(SUITES["rho1_general15"]) == 15
    for name, (members, metric, shots, kind, version) in SETTINGS.items():
        loaded = tasks.load([name])
        group = tasks.benchmarks([name])[name]
        assert len(loaded) == members, name
        assert group.aggregate_metric_list[0].metric == metric
        assert group.aggregate_metric_list[0].weight_by_size == (name != "rho1_tydiqa")
        for task in loaded.values():
            assert task.get_config("num_fewshot") == shots
            assert (kind if task.task_name != "agieval_math" else "generate_until") == task.OUTPUT_TYPE
            assert version == task.VERSION


def test_sampling_is_said_in_the_yaml(tasks: Tasks):
    loaded = tasks.load(["rho1_humaneval", "rho1_mbpp"])
    said = {
        name: (task.get_config("repeats"), task.get_config("generation_kwargs").get("temperature"))
        for name, task in loaded.items()
    }
    assert said == {
        "rho1_humaneval_pass1": (20, 0.1),
        "rho1_humaneval_pass10": (20, 0.8),
        "rho1_mbpp_pass1": (1, None),
        "rho1_mbpp_pass10": (20, 0.8),
    }


def test_exemplars_are_of_the_same_subject_and_language(tasks: Tasks):
    loaded = tasks.load(["rho1_mmlu", "rho1_tydiqa", "rho1_mbpp"])

    def prompt(name: str) -> str:
        task = loaded[name]
        return str(task.fewshot_context(task.eval_docs[0], task.get_config("num_fewshot")))

    assert "about anatomy" in prompt("mmlu_anatomy")
    assert prompt("mmlu_anatomy").count("Answer: D") == 5
    assert prompt("tydiqa_goldp_fi").count("in finnish?") == 2
    mbpp = prompt("rho1_mbpp_pass1")
    assert [f"Add {n}." in mbpp for n in (1, 2, 3, 4, 5, 11)] == [False, True, True, True, False, True]
    assert mbpp.count("    return x") == mbpp.count("[DONE]\nYou") == 3
    assert mbpp.endswith("[BEGIN]\n")


@pytest.mark.parametrize("right", [True, False])
def test_known_answers_score_one_and_wrong_ones_zero(right: bool, tasks: Tasks):
    record, _ = record_of(tasks, GENERAL13, lambda name, doc_id: right)
    assert list(record["tasks"]) == list(GENERAL13)
    for name, summary in record["tasks"].items():
        assert summary["score"] == float(right), name
        assert set(summary["metrics"].values()) == {float(right)}
        assert summary["n"] == {"rho1_tydiqa": 28, "rho1_mmlu": 171, "rho1_bbh": 81, "rho1_agieval": 30}.get(
            name, 5 if name == "rho1_mbpp" else 3
        )


def test_half_right_scores_are_those_of_lm_eval_s_own_groups(tasks: Tasks):
    """English has more rows than the other languages and is all wrong: macro and plain mean differ."""
    record, results = record_of(tasks, GENERAL13, lambda name, doc_id: doc_id % 2 == 0 and not name.endswith("_en"))
    for name, group in tasks.benchmarks(GENERAL13).items():
        theirs = group.aggregate(results)
        ours = record["tasks"][name]["metrics"]
        for metric, value in ours.items():
            (key,) = [key for key in theirs if key.startswith(f"{metric},")]
            assert value == pytest.approx(theirs[key]), name
            assert 0.0 < value < 1.0
    assert record["tasks"]["rho1_tydiqa"]["score"] == pytest.approx(8 / 9 * 2 / 3)
    assert record["tasks"]["rho1_humaneval"]["score"] == pytest.approx(2 / 3)


def test_short_names_and_single_benchmarks(tasks: Tasks):
    suites = find_suites(suites_called(["general", "math"]), tasks.groups, tasks.names)
    assert [(suite, len(members)) for suite, members in split_work(suites)] == [
        ("rho1_general15", 15),
        ("rho1_math9", 7),
    ]
    (single,) = find_suites(["rho1_mmlu"], tasks.groups, tasks.names)
    assert single.tasks == ("rho1_mmlu",)


def test_without_a_data_folder_the_hub_is_asked_for_a_pinned_revision(monkeypatch: pytest.MonkeyPatch):
    import datasets

    asked = []

    def refuse(path: str, name: str | None, revision: str | None) -> None:
        asked.append((path, name, revision))
        raise ConnectionError("no way out")

    monkeypatch.delenv("RHO1BENCH_DATA", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    for name in GENERAL13:
        with pytest.raises(DataError, match="--data-root"):
            Tasks().load([name])
    assert len(asked) == 13
    unpinned = [path for path, _, revision in asked if revision is None or len(revision) != 40]
    assert unpinned == ["hails/agieval-aqua-rat"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no .jsonl files"),
        ("", "no rows"),
        ('{"goal": "a"}\n{"goal', r"validation.jsonl:2: not a JSON line"),
        ('{"goal": "a"}\n{"aim": "b"}\n', r"validation.jsonl:2: expected an object with the columns goal"),
    ],
)
def test_faults_of_a_data_folder_are_told(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RHO1BENCH_DATA", str(tmp_path))
    if text is not None:
        (tmp_path / "general" / "piqa").mkdir(parents=True)
        (tmp_path / "general" / "piqa" / "validation.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        Tasks().load(["rho1_piqa"])


def test_the_suite_from_the_command_to_the_leaderboard(
    data: Path, checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_folder(data)
    pin(monkeypatch)
    options = EvalOptions(
        [str(checkpoints["late"])], tmp_path, ["general"], limit=1, engine="hf", data_root=data, max_model_len=256
    )
    (path,) = evaluate(options, Console(quiet=True))
    record = read_json(path)["rho1bench"]
    suite = record["suites"]["rho1_general15"]
    assert len(suite["metrics"]) == 17
    assert suite["average"] == pytest.approx(
        statistics.mean(value for name, value in suite["metrics"].items() if not name.endswith("pass@10"))
    )
    samples = read_jsonl(path.parent / "samples_rho1_humaneval_pass10.jsonl")
    assert [len(set(row["completion"])) > 10 for row in samples] == [True]
    assert all(len(row["outcomes"]) == 20 for row in samples)
    label = read_label(tmp_path, record["label"])
    assert list(label.tasks) == list(SUITES["rho1_general15"])
    assert len(label.tasks["rho1_mmlu"].scores) == 57
    first = path.read_text()
    cached = (path.parent / "answers.jsonl").read_text()
    for unit in path.parent.glob("unit_*.json"):
        unit.unlink()
    evaluate(options, Console(quiet=True))
    assert (path.parent / "answers.jsonl").read_text() == cached, "a request was repeated"
    assert _without_seconds(path.read_text()) == _without_seconds(first)


def _without_seconds(text: str) -> Any:
    record = json.loads(text)
    del record["rho1bench"]["seconds"], record["rho1bench"]["sha256"]  # the hash of all that stands there
    return record
