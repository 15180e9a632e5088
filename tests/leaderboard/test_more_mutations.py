"""Changes of every kind of landed file, with hashes made to fit again: each contradicts a file, and each is named.

Cheap: only the changed record is read anew, and comparisons are computed once (``test_mutations`` has the first kinds).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_records import with_hashes

from rho1bench.leaderboard.pages import build
from rho1bench.leaderboard.records import checks, compare, contest_checks
from rho1bench.leaderboard.records.checks import read_records
from rho1bench.leaderboard.records.contest_checks import read_contests
from rho1bench.leaderboard.records.contest_record import ContestRecord, contest_fingerprint, held_again
from rho1bench.leaderboard.records.record import ComparisonRecord, Record, record_sha256
from rho1bench.sizing.cost import Cost, total_cost
from rho1bench.system.paths import results_dir

Json = dict[str, Any]
SLM = "mini_math9/quickstart_seeds.slm.seed1"
SFT = "mini_tir7/quickstart_seeds.slm-sft.seed1"
RATE = "mini_math9/quickstart_learning_rates.slm.seed0"
CLM_RATE = "mini_math9/quickstart_learning_rates.clm.seed0"
QUICK, QUICK_BASE = "mini_math9/quickstart.slm.seed0.limit40", "mini_math9/quickstart.base.seed0.limit40"
TRIAL = "rho1_math9/smollm2-135m-instruct.limit8"
ARM = "mini_math9/contest.arm-excess_loss-seed1.seed0.limit40"
CONTROLS, TABLE_3 = "contest/quickstart.controls.seed0", "contest/table_3.ppile.seed0"
MAP, TEXT = "contest/when_it_pays.noise80-docs1-cover27.seed0", "contest/real_text.rules.seed0"
HASH = "1" * 64


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    """Read a file, and compute a comparison, only once as long as it is unchanged."""
    known: dict[object, Any] = {}
    whole, read, recipes = compare.comparison, contest_checks.read_file, contest_checks.recipe_problems
    origins, own = checks._recipe_problems, checks.read_one

    def comparison(treatment: Record, baseline: Record, *, seed: int) -> ComparisonRecord:
        parts = {"id", "tasks", "curve", "eval_fingerprint", "cost"}
        key = (treatment.model_dump_json(include=parts), baseline.model_dump_json(include=parts), seed)
        return kept(key, lambda: whole(treatment, baseline, seed=seed))

    def kept(key: object, make: Callable[[], Any]) -> Any:
        if key not in known:
            known[key] = make()
        return known[key]

    def content(path: Path) -> object:
        return path.read_bytes() if path.is_file() and not path.is_symlink() else object()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "comparison", comparison)
        patch.setattr(checks, "read_one", lambda path, place: kept((place, content(path)), lambda: own(path, place)))
        patch.setattr(
            contest_checks, "read_file",
            lambda path, *more: [*kept((path.name, content(path)), lambda: read(path, *more))],
        )  # fmt: skip
        patch.setattr(
            checks, "_recipe_problems",
            lambda record, results: kept((record.sha256, _kept(results)), lambda: list(origins(record, results))),
        )  # fmt: skip
        patch.setattr(
            contest_checks, "recipe_problems",
            lambda contest, results: kept(contest.model_dump_json(), lambda: list(recipes(contest, results))),
        )  # fmt: skip
        yield


def _kept(results: Path) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in (results / "recipes").iterdir() if path.is_file())


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    texts, problems = build.pages(results_dir())
    assert problems == []
    return texts


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return Path(shutil.copytree(results_dir(), tmp_path / "results"))


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of which each test changes one record, and puts it back."""
    return Path(shutil.copytree(results_dir(), tmp_path_factory.mktemp("landed") / "results"))


@contextmanager
def put_back(path: Path) -> Iterator[None]:
    before = path.read_bytes()
    yield
    path.write_bytes(before)


def path_of(results: Path, name: str) -> Path:
    return results / "records" / f"{name}.json"


def load(results: Path, name: str) -> Json:
    data: Json = json.loads(path_of(results, name).read_text())
    return data


def write(results: Path, name: str, data: Json) -> None:
    """Write a record with hashes that fit; a contest with the result that its answers give, where they give one."""
    if "runs" in data:
        data = data | {"eval_fingerprint": contest_fingerprint(data)}
        data["result"] = held_again(ContestRecord.model_validate(data)).model_dump(mode="json")
        data = data | {"sha256": record_sha256(data)}
    path_of(results, name).write_text(json.dumps(data if "runs" in data else with_hashes(data)))


def problems_of(results: Path) -> list[str]:
    records, problems = read_records(results)
    return problems + read_contests(results, records)[1]


Change = Callable[[Json], object]


def put(*keys: str | int, value: Any) -> Change:
    def change(data: Json) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value(data[keys[-1]]) if callable(value) else value

    return change


def of_cost(stage: str, **values: Any) -> Change:
    def change(data: Json) -> None:
        for part in (*data["cost"]["stages"], *data["cost"]["shared"]):
            part["cost"].update(values if part["stage"] == stage else {})
        costs = [Cost.model_validate(part["cost"]) for part in data["cost"]["stages"]]
        data["cost"]["total"] = total_cost(costs).model_dump(mode="json")

    return change


def digits_as_numbers(data: Json) -> None:
    task = data["tasks"]["mini_gsm8k"]
    task["scores"] = [float(digit) for digit in task["scores"]]


def run_of(stage: str, **values: Any) -> Change:
    return lambda data: next(run for run in data["runs"] if run["stage"] == stage).update(values)


def right_answers(data: Json) -> None:
    run = next(run for run in data["runs"] if run["stage"] == "slm")
    run["scores"]["mini_math9"]["mini_gsm8k"] = "1" * 40


def late_twice(data: Json) -> None:
    for run in data["runs"]:
        for point in run["late"]["mini_math9"]:
            point.update({task: scores + scores for task, scores in point.items()})


def other_gold(data: Json) -> None:
    for task in data["suites"]["gold_answers:mini_math9"]["tasks"].values():
        task.update(data_sha256=HASH, prompts_sha256=HASH)


EVALUATION, SETTINGS = ("evaluation",), ("evaluation", "engine_settings")
TASK = ("tasks", "mini_gsm8k")
OVERLAP = {"web": {"texts": 5, "looked_for": 5, "texts_sha256": HASH, "sources": []}}
MUTATIONS: dict[str, tuple[str, Change, str]] = {
    # types
    "a number as text": (SLM, put("training", "seed", value="1"), "training.seed: Input should be a valid integer"),
    "a truth value as a number": (SLM, put("schema", value=True), "schema: should be the number 1"),
    "a number as a truth value": (SLM, put(*TASK, "truncated", value=False), "truncated: Input should be"),
    "a whole number with a point": (SLM, put("training", "step", value=1000.0), "training.step: Input should be"),
    "answers as numbers": (SLM, digits_as_numbers, "all 0 or 1, and yet written as numbers"),
    "an end of line": (TRIAL, put(*EVALUATION, "device", value="cpu\n| best |"), "evaluation.device holds characters"),
    # the evaluation
    "grader to come": (TRIAL, put(*EVALUATION, "grader", value=99), "evaluation.grader is 99, there are versions 1 to"),
    "sampled": (TRIAL, put(*EVALUATION, "decoding", value={"temperature": 1.0}), "evaluation.decoding is"),
    "a tag as a commit": (SLM, put(*EVALUATION, "git", value={"commit": "v1", "dirty": False}), "evaluation.git is"),
    "dirty as text": (SLM, put(*EVALUATION, "git", "dirty", value="no"), "evaluation.git is not"),
    "engine's version": (TRIAL, put(*EVALUATION, "engine_version", value="9"), "engine_version is 9, by its versions"),
    "no device": (TRIAL, put(*EVALUATION, "device", value=" "), "evaluation.device is empty"),
    "unknown engine": (RATE, put(*EVALUATION, "engine", value="magic"), "its recipe evaluates with vllm or hf"),
    "64 samples": (RATE, put(*SETTINGS, value=lambda old: old | {"samples": 64}), "engine_settings.samples is not"),
    "samples of a trial": (TRIAL, put(*SETTINGS, value=lambda old: old | {"samples": 4}), "leaves no choice"),
    "seed of the engine": (RATE, put(*SETTINGS, "seed", value=5), "engine_settings.seed is not that"),
    "other facts on one suite": (SFT, put(*EVALUATION, "seconds", value=0.5), "of the same checkpoint: evaluation.sec"),
    "other dtype in one run": (RATE, put(*EVALUATION, "dtype", value="int4"), "of the same run: evaluation.dtype"),
    "code of one suite": (QUICK, put("code", "evaluation", value=HASH), "of the same checkpoint: code"),
    "code gone": (QUICK, lambda data: data.pop("code"), "of the same checkpoint: code"),
    "other training code": (ARM, put("code", "training", value=HASH), "other code trained it"),
    "training code of a trial": (
        TRIAL, lambda data: data.update(code={"training": HASH, "evaluation": HASH}), "names the code of a training"),
    "no judge": (SLM, put(*TASK, "verdicts", value=None), "no metrics and verdicts, the other records"),
    "another metric too": (SLM, put(*TASK, "metrics", value={"acc": 1.0}), "the other records of its column have"),
    # the model and its training
    "a revision": (RATE, put("model", "revision", value="main"), "a model that a recipe trains has none"),
    "no weights": (RATE, put("model", "weights_sha256", value=None), "weights_sha256 is missing"),
    "weights of one name": (TRIAL, put("model", "weights_sha256", value=HASH), "has name and source of"),
    "full training of a part": (CLM_RATE, put("training", "selected_tokens", value=1), "all that are predicted"),
    "fewer selected": (RATE, put("training", "selected_tokens", value=100), "selected_tokens are 100; its recipe"),
    "no loss": (RATE, put("training", "validation_loss", value=None), "validation_loss is missing"),
    "a loss below 0": (RATE, put("training", "validation_loss", value=-1.0), "validation_loss is -1.0, below 0"),
    "more samples than there are": (SFT, put("training", "tokens", value=10**15), "its recipe reads at most"),
    "a seed with a zero": (SLM, put("command", value=lambda old: old.replace(" 1", " 01")), "its command is none that"),
    "a part that is the whole": (
        SLM, put("command", value=lambda old: old.replace("--seed", "--only all --seed")), "names a part, --only all"),
    "no comparison of a fine-tuning": (SFT, put("comparison", value=None), "which its recipe makes, is missing"),
    "a point earlier": (SLM, put("curve", 2, "step", value=450), "the steps of its curve are"),
    "a point with all selected": (SLM, put("curve", 2, "selected_tokens", value=1_040_000), "its curve has 1040000"),
    "an invented overlap": (RATE, lambda data: data.update(benchmark_overlap=OVERLAP), "is of the corpora ['web']"),
    # costs
    "a cheap reference": (QUICK, of_cost("reference", flops=1e9), "the operations of reference are 1e+09"),
    "dear scoring": (QUICK, of_cost("scores", flops=1e15), "the operations of scores are 1e+15"),
    "a cheap base": (QUICK, of_cost("base", flops=1.0), "the operations of base are 1, by its recipe"),
    "unknown operations": (QUICK, of_cost("slm", flops=None), "the operations of slm are unknown"),
    "no time": (QUICK, of_cost("scores", seconds=0.0), "scores took 0.0 seconds"),
    "no hardware": (QUICK, of_cost("scores", hardware=""), "seconds on nothing"),
    "no cost": (QUICK, lambda data: data.pop("cost"), "its cost is missing"),
    # contests
    "answers that a record has otherwise": (CONTROLS, right_answers, "slm: has other scores on mini_gsm8k than in"),
    "a loss that a record has otherwise": (CONTROLS, run_of("slm", validation_loss=0.1), "has another validation_loss"),
    "seconds that a record has otherwise": (
        CONTROLS, put("costs", "slm", "cost", "seconds", value=1.0), "slm took something else than in"),
    "code that a record has otherwise": (CONTROLS, put("code", "training", value={"pretrain": HASH}), "has other code"),
    "device that a record has otherwise": (CONTROLS, put(*EVALUATION, "device", value="abacus"), "evaluation.device"),
    "late answers": (CONTROLS, late_twice, "more documents of mini_gsm8k than its recipe asks for"),
    "no parameters": (TABLE_3, run_of("ppile_slm-seed1", num_parameters=None), "another number of parameters (None)"),
    "no weights of a run": (TABLE_3, run_of("ppile_slm-seed1", weights_sha256=None), "weights_sha256 is missing"),
    "hardly any selected": (TABLE_3, run_of("ppile_slm-seed1", selected_tokens=1), "its recipe selects 152400 to"),
    "nothing needed": (TABLE_3, run_of("ppile_slm-seed1", needed=[]), "it needed [], by its recipe"),
    "cheap scoring": (TABLE_3, put("costs", "ppile-scores-seed1", "cost", "flops", value=1.0), "the operations of pp"),
    "kinds of code": (TABLE_3, put("code", "training", value={"sft": HASH}), "code.training is of the kinds ['sft']"),
    "no code": (TABLE_3, put("code", "evaluation", value=None), "code.evaluation is missing"),
    "other prompts": (
        TABLE_3, put("suites", "mini_math9", "tasks", "mini_sat", "prompts_sha256", value=HASH), "prompts of mini_sat"),
    "gold answers": (MAP, other_gold, "has other documents or prompts of mini_gsm8k than"),
    "scale of a text": (MAP, put("suites", "gold_answers:mini_math9", "scale", value="smoke"), "scale is smoke, by"),
    "place the other way round": (
        MAP, put("terms", "place", value=lambda old: dict(reversed(old.items()))), "is not in the order of its recipe"),
    "rows of a text": (TEXT, put("suites", "corpus:held-out", "tasks", "held-out", "num_rows", value=9), "no num_rows"),
    "prompts of a text": (
        TEXT, put("suites", "corpus:held-out", "tasks", "held-out", "prompts_sha256", value=HASH), "that of its data"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_resealed_change_is_caught(landed: Path, name: str) -> None:
    target, change, expected = MUTATIONS[name]
    data = load(landed, target)
    change(data)
    with put_back(path_of(landed, target)):
        write(landed, target, data)
        problems = problems_of(landed)
    assert any(expected in problem for problem in problems), problems
    assert all(problem.startswith("records/") and problem.isascii() for problem in problems)


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        (QUICK_BASE, "its recipe evaluates base on mini_math9 too"),
        ("mini_math9/quickstart_learning_rates.clm-4e-3.seed0", "evaluates clm-4e-3 on mini_math9 too"),
        (CONTROLS, "its recipe holds the contest controls too"),
        ("contest/table_3.owm.seed0", "its recipe holds the contest owm too"),
    ],
)
def test_a_record_that_its_run_has_left_and_that_is_gone_is_told(landed: Path, gone: str, expected: str) -> None:
    with put_back(path_of(landed, gone)):
        path_of(landed, gone).unlink()
        problems = problems_of(landed)
    assert any(expected in problem for problem in problems), problems


def too_large(results: Path) -> None:
    data = load(results, QUICK)
    for part in data["cost"]["stages"]:
        part["cost"]["flops"] = 1e308
    path_of(results, QUICK).write_text(json.dumps(with_hashes(data)))


def nested(results: Path) -> None:
    data = load(results, SLM) | {"evaluation": "here"}
    path_of(results, SLM).write_text(json.dumps(data).replace('"here"', '{"git": ' * 900 + "1" + "}" * 900))


def not_a_file(place: str) -> Callable[[Path], object]:
    def change(results: Path) -> None:
        (results / place).unlink(missing_ok=True)
        (results / place).mkdir()

    return change


KEPT = "recipes/small_real_text.8896f2dd.yaml"
BOMB = "a0: &a0 [x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "sums beyond numbers": (too_large, f"records/{QUICK}.json: "),
    "nested": (nested, f"records/{SLM}.json: "),
    "an empty record": (lambda results: path_of(results, SLM).write_text(""), f"records/{SLM}.json: cannot be read"),
    "a mark of byte order": (
        lambda results: path_of(results, SLM).write_text("\ufeff" + path_of(results, SLM).read_text()),
        f"records/{SLM}.json: cannot be read: Unexpected UTF-8 BOM"),
    "a pipe": (lambda results: os.mkfifo(path_of(results, "mini_math9/pipe")), "pipe.json: is no record"),
    "a folder as a record": (not_a_file(f"records/{SLM}.json"), f"records/{SLM}.json: is no record"),
    "a name that is no text": (
        lambda results: (results / "records" / os.fsdecode(b"\xff.json")).write_text("{}"), "records/\\udcff.json: "),
    "a kept recipe of aliases": (lambda results: (results / KEPT).write_text(BOMB), "aliases stand in what"),
    "a key twice": (
        lambda results: (results / KEPT).write_text("name: x\n" + (results / KEPT).read_text()), "'name' stands here"),
    "an empty kept recipe": (lambda results: (results / KEPT).write_text(""), "cannot be read: it is no mapping"),
    "a page that is a folder": (not_a_file("LEADERBOARD.md"), "LEADERBOARD.md: is a folder, not a file"),
    "figures that are a file": (
        lambda results: (shutil.rmtree(results / "figures"), (results / "figures").write_text("")), "figures: is"),
    "a figure of nothing": (
        lambda results: (results / "figures/best.svg").write_text("<svg/>"), "figures/best.svg: no record gives"),
    "a recipe of nothing": (
        lambda results: (results / "recipes/more.yaml").write_text("name: x"), "recipes/more.yaml: no record gives"),
    "a further table": (lambda results: (results / "paper/more.json").write_text("{}"), "paper/more.json: no record"),
    "no table": (lambda results: (results / "paper/tables.json").unlink(), "paper/tables.json: is not the file"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_what_it_should_be_is_named(
    results: Path, name: str, pages: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "pages", lambda folder: (pages, problems_of(folder)))
    change, expected = FILES[name]
    change(results)
    problems = build.check_results(results)
    assert any(expected in problem for problem in problems), problems
    assert all(problem.isascii() and "\n" not in problem for problem in problems)
