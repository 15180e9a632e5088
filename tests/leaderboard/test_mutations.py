"""Changes of landed records, with hashes made to fit again: each contradicts a file, and each is caught and named.

The records are those of the repository, so pins, recipes and all other rules are in force.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_records import with_hashes

from rho1bench.leaderboard.records import compare
from rho1bench.leaderboard.records import record as rec
from rho1bench.leaderboard.records.checks import read_records
from rho1bench.leaderboard.records.record import ComparisonRecord, Record
from rho1bench.system.paths import results_dir

Json = dict[str, Any]
SLM = "mini_math9/quickstart_seeds.slm.seed1"
CLM = "mini_math9/quickstart_seeds.clm.seed1"
RATES = "mini_math9/quickstart_learning_rates.slm.seed0"
TRIAL = "rho1_math9/smollm2-135m-instruct.limit8"
TRIAL_GENERAL = "rho1_general15/smollm2-135m-instruct.limit4"
REAL = "rho1_math9/small_real_text.slm.seed0.limit20"
BASE = "mini_math9/quickstart_seeds.base.seed1"


@pytest.fixture(scope="module", autouse=True)
def compared_once() -> Iterator[None]:
    """Compute the comparison of a pair whose answers and curves are unchanged only once for all tests."""
    whole = compare.comparison
    known: dict[str, ComparisonRecord] = {}

    def comparison(treatment: Record, baseline: Record, *, seed: int) -> ComparisonRecord:
        inputs = [
            one.model_dump_json(include={"id", "tasks", "curve", "eval_fingerprint"}) for one in (treatment, baseline)
        ]
        key = "".join([*inputs, str(seed)])
        if key not in known:
            known[key] = whole(treatment, baseline, seed=seed)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "comparison", comparison)
        yield


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the mutations touch, and what that refers to."""
    folder = tmp_path_factory.mktemp("landed") / "results"
    for name in ("paper", "recipes"):
        shutil.copytree(results_dir() / name, folder / name)
    for pattern in ("mini_math9/*.json", "rho1_*/sm*.json"):
        for path in (results_dir() / "records").glob(pattern):
            target = folder / path.relative_to(results_dir())
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    assert read_records(folder)[1] == []
    return folder


@pytest.fixture
def results(landed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(landed, tmp_path / "results"))


def path_of(results: Path, name: str) -> Path:
    return results / "records" / f"{name}.json"


def load(results: Path, name: str) -> Json:
    data: Json = json.loads(path_of(results, name).read_text())
    return data


def write(results: Path, data: Json) -> None:
    path_of(results, data["id"]).write_text(json.dumps(with_hashes(data)))


def consistent(data: Json) -> Json:
    """Make scores, intervals and the average of changed answers follow from each other again."""
    for task in data["tasks"].values():
        task["n"], task["score"] = len(task["scores"]), rec.task_score(task["scores"])
        task["ci"] = rec.task_interval(task["scores"]).as_list()
    typed = Record.model_validate(data).tasks
    return data | {"average": rec.average_of(typed).model_dump(mode="json")}


def flip_first(data: Json, task: str) -> Json:
    scores = data["tasks"][task]["scores"]
    data["tasks"][task]["scores"] = ("1" if scores[0] == "0" else "0") + scores[1:]
    return consistent(data)


def set_in(*keys: str | int, value: Any) -> Callable[[Json], None]:
    def change(data: Json) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value(data[keys[-1]]) if callable(value) else value

    return change


def eight_rows(data: Json) -> None:
    for task in data["tasks"].values():
        task["scores"], task["num_rows"] = task["scores"][:8], 8
        task["verdicts"], task["truncated"], task["prompts_too_long"] = None, 0, 0
    data |= consistent(data)
    data |= {"scale": "full", "limit": None, "id": TRIAL.removesuffix(".limit8")}
    data["command"] = data["command"].replace(" --limit 8", "")


def called_full(data: Json) -> None:
    data |= {"scale": "full", "limit": None, "id": TRIAL.removesuffix(".limit8")}


def shorter_curve(data: Json) -> None:
    data["curve"] = data["curve"][:-1]


def other_last_point(data: Json) -> None:
    scores = data["curve"][-1]["scores"]
    scores["mini_gsm8k"] = "1" * len(scores["mini_gsm8k"])


def other_first_point(data: Json) -> None:
    scores = data["curve"][0]["scores"]
    scores["mini_svamp"] = scores["mini_svamp"].translate(str.maketrans("01", "10"))


def one_task_less(data: Json) -> None:
    name = next(iter(data["tasks"]))
    for part in (data["tasks"], data["comparison"]["tasks"], *(point["scores"] for point in data["curve"])):
        part.pop(name)
    data |= consistent(data)


def renamed_recipe(data: Json) -> None:
    data["training"]["recipe"] = "quickstart"


def other_command(data: Json) -> None:
    data["command"] = "rho1bench run quickstart --seed 1"


AVERAGE, GSM8K = ("comparison", "average"), ("comparison", "tasks", "mini_gsm8k")
SPEED = ("comparison", "tokens_to_baseline")
TASK = ("tasks", "mini_gsm8k")
OTHER_CLM = "mini_math9/quickstart_seeds.clm.seed2"
RTL = "quickstart_seeds slm, seed 1\N{RIGHT-TO-LEFT OVERRIDE}"
LOOK_ALIKE = "quickst\N{CYRILLIC SMALL LETTER A}rt_seeds slm, seed 1"

MUTATIONS: dict[str, tuple[str, Callable[[Json], Any], str]] = {
    # the comparison
    "average p": (SLM, set_in(*AVERAGE, "p", value=0.0123), "comparison of the average: p "),
    "average difference": (SLM, set_in(*AVERAGE, "difference", value=0.3), "the difference is"),
    "average interval": (SLM, set_in(*AVERAGE, "ci", value=[0.01, 0.5]), "comparison of the average: ci"),
    "average p method": (SLM, set_in(*AVERAGE, "p_method", value="t test"), "comparison of the average: p_method"),
    "average n": (SLM, set_in(*AVERAGE, "n", value=5000), "comparison of the average: n"),
    "average p_holm": (SLM, set_in(*AVERAGE, "p_holm", value=0.01), "comparison of the average: p_holm"),
    "task p": (SLM, set_in(*GSM8K, "p", value=0.001), "McNemar"),
    "task interval, its point inside": (SLM, set_in(*GSM8K, "ci", value=[-1.0, 1.0]), "mini_gsm8k: ci"),
    "task interval gone": (SLM, set_in(*GSM8K, "ci", value=None), "mini_gsm8k: ci"),
    "task Holm p": (SLM, set_in(*GSM8K, "p_holm", value=0.04), "mini_gsm8k: p_holm"),
    "task Holm p gone": (SLM, set_in(*GSM8K, "p_holm", value=None), "mini_gsm8k: p_holm"),
    "task n": (SLM, set_in(*GSM8K, "n", value=240), "mini_gsm8k: n"),
    "task p method": (SLM, set_in(*GSM8K, "p_method", value="sign test"), "mini_gsm8k: p_method"),
    "tokens to baseline": (SLM, set_in(*SPEED, "tokens", value=1e5), "tokens to the baseline"),
    "share of tokens": (SLM, set_in(*SPEED, "share", value=0.05), "the tokens to the baseline: share"),
    "interval of the share": (SLM, set_in(*SPEED, "share_ci", value=[0.01, 0.02]), "share_ci"),
    "target": (SLM, set_in(*SPEED, "target", value=0.9), "the tokens to the baseline: target"),
    "number of checkpoints": (SLM, set_in(*SPEED, "num_checkpoints", value=50), "num_checkpoints"),
    "first point": (SLM, set_in(*SPEED, "at_first_point", value=lambda flag: not flag), "at_first_point"),
    "tokens to baseline gone": (SLM, set_in(*SPEED, value=None), "the tokens to the baseline"),
    "comparison gone": (SLM, set_in("comparison", value=None), "is missing"),
    "baseline is base": (SLM, set_in("comparison", "baseline", value=BASE), "by its recipe"),
    "baseline is another seed": (SLM, set_in("comparison", "baseline", value=OTHER_CLM), "by its recipe"),
    "baseline is itself": (SLM, set_in("comparison", "baseline", value=SLM), "with itself"),
    "a baseline's own comparison": (
        CLM, set_in("comparison", value={"baseline": BASE, "average": {"difference": 0.0, "ci": None, "p": 1.0,
        "p_method": "x", "n": 1}, "tasks": {}, "tokens_to_baseline": None}), "by its recipe it has none"),
    # the curve
    "last point gone": (SLM, shorter_curve, "its curve ends at"),
    "last point better": (SLM, other_last_point, "other scores on mini_gsm8k"),
    "last point earlier": (SLM, set_in("curve", -1, "tokens", value=1_900_000), "its curve ends at"),
    "points out of order": (SLM, set_in("curve", 1, "tokens", value=1_900_000), "do not ascend"),
    "more selected than tokens": (SLM, set_in("curve", 1, "selected_tokens", value=600_000), "more selected tokens"),
    # scores, verdicts, counts
    "one answer, numbers made to fit": (SLM, lambda data: data.update(flip_first(data, "mini_gsm8k")), "verdict"),
    "verdicts against scores": (
        SLM, set_in(*TASK, "verdicts", "paper", value={"correct": 120}), "by the paper's verdict"),
    "unknown verdict": (
        SLM, set_in(*TASK, "verdicts", "verified", value={"perfect": 120}), "unknown names"),
    "truncated more than n": (SLM, set_in(*TASK, "truncated", value=121), "but n is 120"),
    "prompts too long more than n": (SLM, set_in(*TASK, "prompts_too_long", value=500), "but n is 120"),
    "metric against score": (
        TRIAL_GENERAL, set_in("tasks", "rho1_mmlu", "metrics", "acc", value=0.9), "metrics.acc is 0.9"),
    "fewer rows": (SLM, set_in(*TASK, "num_rows", value=100), "num_rows is 100"),
    "rows unknown": (SLM, set_in(*TASK, "num_rows", value=None), "num_rows is None"),
    "more rows": (TRIAL, set_in("tasks", "rho1_sat_cot", "num_rows", value=1000), "num_rows is 1000"),
    "other data": (SLM, set_in(*TASK, "data_sha256", value="1" * 64), "data_sha256 is not that"),
    "other prompts": (SLM, set_in(*TASK, "prompts_sha256", value="2" * 64), "prompts_sha256"),
    "other decoding": (SLM, set_in(*TASK, "generation_kwargs", value={"until": []}), "generation_kwargs"),
    "other metric": (SLM, set_in(*TASK, "metric", value="verified"), "the metric is verified"),
    "other version": (SLM, set_in(*TASK, "version", value=99.0), "version 99.0 of the task is unknown"),
    "one task less": (SLM, one_task_less, "tasks are not those of"),
    # scale and limit
    "a full record with --limit": (TRIAL, called_full, "scale is full"),
    "a full suite with 8 rows": (TRIAL, eight_rows, "the test set has 1319 rows"),
    "another limit": (TRIAL, set_in("limit", value=500), "n is 8, with the limit 500"),
    "mini called full": (SLM, set_in("scale", value="full"), "none of the paper's suites"),
    "called a smoke test": (SLM, set_in("scale", value="smoke"), "not a smoke test"),
    # recipe, pair, method, selection, seed
    "recipe name": (SLM, renamed_recipe, "its command runs quickstart_seeds"),
    "recipe hash": (SLM, set_in("training", "recipe_sha256", value="3" * 64), "recipe_sha256 is not that"),
    "hash of a kept recipe": (REAL, set_in("training", "recipe_sha256", value="3" * 64), "is not the recipe"),
    "command of another recipe": (SLM, other_command, "recipe_sha256 is not that of the shipped recipe quickstart"),
    "command of no run": (SLM, set_in("command", value="make the record"), "its command is none that"),
    "ratio": (SLM, set_in("training", "selection", "ratio", value=0.6), "training.selection is not that"),
    "selection gone": (SLM, set_in("training", "selection", value=None), "training.selection is not that"),
    "method": (CLM, set_in("training", "method", value="slm"), "training.method is slm"),
    "stage": (SLM, set_in("training", "stage", value="clm"), "its id is not that"),
    "seed": (SLM, set_in("training", "seed", value=2), "its command says otherwise"),
    "steps": (RATES, set_in("training", "step", value=2000), "its recipe trains 1000 steps"),
    "tokens": (RATES, set_in("training", "tokens", value=20_800_000), "its recipe reads 2080000"),
    "selected tokens": (RATES, set_in("training", "selected_tokens", value=1_000_000), "more than 0.3"),
    "parameters": (SLM, set_in("model", "num_parameters", value=7_000_000_000), "another number of parameters"),
    "parameters of an evaluation": (TRIAL, set_in("model", "num_parameters", value=7), "another number of parameters"),
    "first point of the curve": (SLM, other_first_point, "the first point of its curve has other scores"),
    "context length": (SLM, set_in("evaluation", "engine_settings", "max_model_len", value=8192), "max_model_len"),
    # names
    "name of another model": (SLM, set_in("model", "name", value="Rho-1-Math"), "its name is 'Rho-1-Math'"),
    "look-alike letter": (SLM, set_in("model", "name", value=LOOK_ALIKE), "printable ASCII"),
    "right-to-left mark": (SLM, set_in("model", "name", value=RTL), "printable ASCII"),
    "name and id of an evaluation": (TRIAL, set_in("model", "name", value="GPT-5"), "its id is not made of"),
    "command of an evaluation": (TRIAL, set_in("command", value=lambda text: text + " --engine hf"), "its command is"),
    "source of an evaluation": (TRIAL, set_in("model", "source", value="openai/gpt"), "its command is not"),
    "engine of an evaluation": (TRIAL, set_in("evaluation", "engine", value="hf"), "its command is not"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_resealed_change_is_caught(results: Path, name: str) -> None:
    target, change, expected = MUTATIONS[name]
    data = load(results, target)
    before = copy.deepcopy(data)
    change(data)
    assert data != before
    if data["id"] != target:
        path_of(results, target).unlink()
    write(results, data)
    _, problems = read_records(results)
    assert any(expected in problem for problem in problems), problems
    assert any(problem.startswith(f"records/{data['id']}.json: ") or target in problem for problem in problems)


def test_more_than_the_known_changes_are_tried() -> None:
    assert len(MUTATIONS) >= 53


def as_seed(data: Json, seed: int) -> Json:
    """Return a record as that of another seed, with everything that names the seed."""
    text = json.dumps(data).replace("seed1", f"seed{seed}").replace("seed 1", f"seed {seed}")
    copied: Json = json.loads(text)
    copied["training"]["seed"] = seed
    copied["command"] = f"rho1bench run quickstart_seeds --seed {seed}"
    return copied


@pytest.mark.parametrize(("weights", "expected"), [(None, "the weights of"), ("4" * 64, "the scores of")])
def test_the_best_seed_copied_as_a_fourth_is_caught(results: Path, weights: str | None, expected: str) -> None:
    for name in (SLM, CLM, BASE):
        copied = as_seed(load(results, name), 3)
        if weights is not None:
            copied["model"]["weights_sha256"] = weights
        write(results, copied)
    _, problems = read_records(results)
    assert any("seed3" in problem and expected in problem for problem in problems), problems


def test_a_seed_that_was_left_out_is_caught(results: Path) -> None:
    for stage in ("slm", "clm", "base"):
        path_of(results, f"mini_math9/quickstart_seeds.{stage}.seed2").unlink()
    problems = read_records(results)[1]
    assert sum("the seeds [2] of its recipe have no record of this stage" in problem for problem in problems) == 3


def test_a_stage_whose_records_tell_different_stories_is_caught(results: Path) -> None:
    for suite in ("mini_math9", "mini_general15"):
        target = path_of(results, f"{suite}/quickstart_seeds.slm.seed1")
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(results_dir() / target.relative_to(results), target)
    data = load(results, SLM)
    data["training"]["validation_loss"] = 0.1
    write(results, data)
    assert any("tells another story of its stage's model" in problem for problem in read_records(results)[1])


def test_a_seed_that_the_recipe_does_not_declare_is_caught(results: Path) -> None:
    write(results, as_seed(load(results, BASE), 9))
    assert any("declares the seeds [0, 1, 2, 3]" in problem for problem in read_records(results)[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"schema": 1e400}', "the number 1e400 is too large"),
        ('{"schema": ' + "9" * 5000 + "}", "is too large"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deeply"),
        ('{"schema": "\\ud800"}', "schema"),
    ],
)
def test_files_that_are_no_records_are_named(results: Path, text: str, expected: str) -> None:
    path_of(results, "mini_math9/odd").write_text(text)
    _, problems = read_records(results)
    assert any(one.startswith("records/mini_math9/odd.json: ") and expected in one for one in problems), problems


def test_links_are_refused_wherever_they_lie(results: Path, tmp_path: Path) -> None:
    path = path_of(results, SLM)
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    assert f"records/{SLM}.json: is a link; a record is a file of its own" in read_records(results)[1]
    (results / "records/linked").symlink_to(results / "records/rho1_tir7")
    assert "records/linked: is a link; a record is a file of its own" in read_records(results)[1]
    recipe = next((results / "recipes").iterdir())
    recipe.rename(tmp_path / "recipe.yaml")
    recipe.symlink_to(tmp_path / "recipe.yaml")
    assert any(problem.startswith(f"recipes/{recipe.name}: is a link") for problem in read_records(results)[1])


def test_a_changed_table_of_the_paper_is_caught(results: Path) -> None:
    path = results / "paper/tables.json"
    path.write_text(path.read_text().replace("66.2", "56.2", 1))
    assert any(problem.startswith("paper/tables.json: is not the file") for problem in read_records(results)[1])


def test_a_changed_kept_recipe_is_caught(results: Path) -> None:
    recipe = next((results / "recipes").iterdir())
    recipe.write_text(recipe.read_text().replace("ratio: 0.6", "ratio: 0.5"))
    problems = read_records(results)[1]
    assert sum("is not the recipe that it was made with" in problem for problem in problems) == 4
