"""A run's contest becomes a record that is computed again from its answers, and stands on the pages with controls."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from contest_recipe import DEV, SUITE, contest_recipe, fewer, finished_run
from fake_records import write_results

from rho1bench.comparison.contest.from_run import ContestRun, contest_of_run
from rho1bench.comparison.observed_spread import observed_spread
from rho1bench.errors import DataError
from rho1bench.leaderboard.pages.build import CONTEST_SCHEMA_FILE, add_and_build, check_results
from rho1bench.leaderboard.records.contest_checks import read_contests
from rho1bench.leaderboard.records.contest_record import contest_fingerprint, held_again, rounded
from rho1bench.leaderboard.records.record import record_sha256
from rho1bench.pipeline.manifest import MANIFEST
from rho1bench.recipe import CompareStage, EvalStage
from rho1bench.rendering import numbers as fmt
from rho1bench.system.files import content_hashes, read_json, read_jsonl, write_json, write_jsonl

Json = dict[str, Any]
ID = "contest/contest_small.contest.seed3"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with a contest, every stage with its manifest."""
    return finished_run(tmp_path_factory.mktemp("run"), fewer)


@pytest.fixture(scope="module")
def landed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with the record of the contest, and the pages."""
    folder = write_results(tmp_path_factory.mktemp("landed") / "results", [])
    add_and_build(run, folder)
    return folder


@pytest.fixture
def results(landed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(landed, tmp_path / "results"))


def path_of(results: Path) -> Path:
    return results / "records" / f"{ID}.json"


def test_a_run_is_added_with_its_contest_and_checked(run: Path, landed: Path) -> None:
    assert check_results(landed) == []
    files = {path.relative_to(landed / "records").as_posix() for path in (landed / "records").rglob("*.json")}
    assert files == {f"{ID}.json", f"{SUITE}/contest_small.base.seed3.json", f"{DEV}/contest_small.base.seed3.json"}
    (contest,), problems = read_contests(landed, [])
    assert problems == []
    recipe = contest_recipe(run, fewer)
    stages = {one.name: run / "stages" / one.name for one in recipe.stages}
    (terms,) = recipe.stage("compare", CompareStage).contests
    fresh = contest_of_run(ContestRun(terms, recipe, recipe.stage("eval", EvalStage), stages))
    assert contest.result == held_again(contest)
    assert contest.result.chosen == rounded(fresh).chosen
    assert {run.seed for run in contest.runs} == {1, 2, 3, None}
    assert len(contest.runs) == 3 * 4 + 1
    assert add_and_build(run, landed) == []


def test_the_record_is_small_and_has_a_schema(landed: Path) -> None:
    """Answers of the runs that count, a digit each, and the result to six digits."""
    data = read_json(path_of(landed))
    jsonschema.validate(data, read_json(landed / CONTEST_SCHEMA_FILE))
    assert path_of(landed).stat().st_size < 150_000
    spread = observed_spread(path_of(landed))
    assert (spread.num_seeds, spread.num_documents) == (3, 180)


def test_both_pages_show_every_arm_with_the_controls(landed: Path) -> None:
    (contest,), _ = read_contests(landed, [])
    for name in ("leaderboard.html", "LEADERBOARD.md"):
        text = (landed / name).read_text(encoding="utf-8").replace("\\_", "_")
        assert "No rule beats the best control (reference) on mini_gsm8k" in text
        assert text.index("Contests: which rule, and does it pay?") < text.index("Math, few-shot chain of thought")
        for suite in contest.result.suites:
            for arm in suite.arms:
                assert arm.arm in text
                assert fmt.percent(arm.score) in text
                assert all(fmt.interval(value.ci) in text for value in arm.against.values())
        assert f"records/{ID}.json" in text
        assert "of other training seeds (1, 2, 3 were run)" in text
    assert (landed / "figures" / f"contest_small.contest.seed3.{SUITE}.svg").is_file()


def first_run(data: Json, arm: str = "excess") -> Json:
    return next(one for one in data["runs"] if one["arm"] == arm)


def flip(data: Json) -> None:
    scores = first_run(data)["scores"][SUITE]
    scores["task_a"] = ("1" if scores["task_a"][0] == "0" else "0") + scores["task_a"][1:]


def swap_seeds(data: Json) -> None:
    runs = [one for one in data["runs"] if one["arm"] == "excess"]
    runs[0]["scores"], runs[1]["scores"] = runs[1]["scores"], runs[0]["scores"]


def against(data: Json, arm: str = "excess", part: str = "full") -> Json:
    suite = data["result"]["suites"][0]
    found: Json = next(one for one in suite["arms"] if one["arm"] == arm)["against"][part]
    return found


def signal_of(data: Json) -> Json:
    found: Json = data["result"]["suites"][0]["signal"]["task_a"]
    return found


def other_choice(data: Json) -> None:
    next(one for one in data["result"]["chosen"] if one["arm"] == "excess")["setting"] = "lr1e-3"


def better_trial(data: Json) -> None:
    next(one for one in data["trials"] if one["stage"] == "arm-excess-lr1e-3-seed0")["value"] = 0.1


def count_the_tuning_seed(data: Json) -> None:
    run = first_run(data)
    data["runs"].insert(0, run | {"stage": "arm-excess-lr2e-3-seed0", "seed": 0, "weights_sha256": "1" * 64})


def drop_a_seed(data: Json) -> None:
    data["runs"] = [one for one in data["runs"] if one["seed"] != 3]
    data["terms"]["seeds"] = data["result"]["terms"]["seeds"] = [1, 2]


def drop_a_control(data: Json) -> None:
    for key in ("runs", "trials"):
        data[key] = [one for one in data[key] if one["arm"] != "reference"]


MUTATIONS: dict[str, tuple[Callable[[Json], object], str]] = {
    "an answer": (flip, "result.suites.0.arms."),
    "answers of two seeds exchanged": (swap_seeds, "result.suites.0.arms."),
    "a difference": (lambda data: against(data).update(difference=0.3), "against.full.difference is"),
    "an interval": (lambda data: against(data)["ci"].__setitem__(0, 0.01), "against.full.ci.0 is"),
    "a p": (lambda data: against(data, part="random").update(p=0.001), "against.random.p is"),
    "an adjusted p": (lambda data: against(data).update(p_holm=0.04), "against.full.p_holm is"),
    "a p over tasks": (lambda data: against(data).update(p_tasks=0.01), "against.full.p_tasks is"),
    "a caution": (lambda data: against(data, part="control").update(cautions=[]), "against.control.cautions is"),
    "equivalence": (lambda data: against(data, "random")["equivalence"].update(p_holm=0.01), "equivalence.p_holm is"),
    "the best control": (lambda data: data["result"]["suites"][0].update(best_control="filtered"), "best_control is"),
    "a signal": (lambda data: signal_of(data).update(between_arms=0.9), "between_arms is"),
    "the chosen setting": (other_choice, "result.chosen.2.setting is lr2e-3, not lr1e-3"),
    "what the choice saw": (better_trial, "counts with the setting 'lr2e-3', the choice is 'lr1e-3'"),
    "a tuning seed that counts": (count_the_tuning_seed, "need the same seeds and documents"),
    "fewer seeds": (drop_a_seed, "its terms are not those of its recipe: seeds"),
    "no control": (drop_a_control, "its trained stages are not those of its recipe"),
    "another margin": (
        lambda data: [one.update(margin=9.0) for one in (data["terms"], data["result"]["terms"])],
        "equivalence.margin is",
    ),
    "weights of another run": (
        lambda data: first_run(data).update(weights_sha256=first_run(data, "full")["weights_sha256"]),
        "has the weights of arm-full-lr2e-3-seed1",
    ),
    "answers of another run": (
        lambda data: first_run(data).update(scores=first_run(data, "full")["scores"]),
        "has the answers of arm-full-lr2e-3-seed1 on every document",
    ),
    "a learnt answer more": (
        lambda data: first_run(data)["scores"][SUITE].update(task_a="1" * 31), "are not one a document of every task",
    ),
    "steps": (lambda data: first_run(data).update(step=40), "step is 40, its recipe trains 20 steps"),
    "tokens": (lambda data: first_run(data).update(tokens=9999), "tokens are 9999, its recipe reads 1280"),
    "the recipe": (lambda data: data.update(recipe_sha256="0" * 64), "is not named after its recipe and hash"),
    "the seed": (lambda data: data.update(seed=4), "its id is not that of its recipe, name and seed"),
    "the limit": (lambda data: data["suites"][SUITE].update(limit=5), "with the limit 5"),
    "the prompts of one task": (
        lambda data: data["suites"][SUITE]["tasks"]["task_a"].update(num_rows=31), "n is 30 of 31 rows",
    ),
    "operations": (
        lambda data: data["costs"]["arm-excess-lr2e-3-seed1"]["cost"].update(flops=1.0),
        "its training took 1 operations",
    ),
    "no scoring": (lambda data: data["costs"].pop("scores"), "what scores took is not in the record"),
    "needed by nothing": (lambda data: first_run(data)["needed"].pop(0), "by its recipe ['scores', 'arm-excess"),
    "another context": (
        lambda data: data["evaluation"]["engine_settings"].update(max_model_len=9),
        "max_model_len is not that of its recipe",
    ),
    "a look-alike name": (lambda data: data["evaluation"].update(device="\u0441pu"), "other than printable ASCII"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_the_answers_or_the_recipe_contradict_is_named(results: Path, name: str) -> None:
    change, expected = MUTATIONS[name]
    data = read_json(path_of(results))
    change(data)
    data["eval_fingerprint"] = contest_fingerprint(data)
    data["sha256"] = record_sha256(data)
    path_of(results).write_text(json.dumps(data))
    contests, problems = read_contests(results, [])
    assert contests == []
    assert any(expected in problem for problem in problems), problems


def test_a_changed_file_is_told_by_its_hash(results: Path) -> None:
    data = read_json(path_of(results)) | {"command": "rho1bench run other"}
    path_of(results).write_text(json.dumps(data))
    problems = check_results(results)
    assert any("sha256 does not match its content" in problem for problem in problems)
    path_of(results).write_text("{")
    assert any(f"records/{ID}.json: cannot be read" in problem for problem in read_contests(results, [])[1])


def test_links_and_foreign_files_among_contests_are_refused(results: Path) -> None:
    (path_of(results).parent / "link.json").symlink_to(path_of(results))
    (path_of(results).parent / "notes.txt").write_text("x")
    problems = read_contests(results, [])[1]
    assert any("link.json: is a link" in problem for problem in problems)
    assert any("notes.txt: is no record; only .json files belong here" in problem for problem in problems)


def swap_answers(label: Path) -> None:
    """One answer more and one fewer: the mean stays."""
    path = label / "samples_task_a.jsonl"
    rows = read_jsonl(path)
    right, wrong = (next(row for row in rows if row["score"] == score) for score in (1.0, 0.0))
    right["score"], wrong["score"] = 0.0, 1.0
    write_jsonl(path, rows)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (swap_answers, r"samples_task_a\.jsonl: is missing or was changed after the evaluation wrote it"),
        (lambda label: shutil.copytree(label, label.with_name("best")), "evaluates no checkpoint of this name"),
    ],
)
def test_a_manifest_made_to_fit_hides_no_change(
    run: Path, tmp_path: Path, change: Callable[[Path], object], expected: str
) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    evaluated, results = folder / "stages/eval", write_results(tmp_path / "results", [])
    change(evaluated / "arm-excess-lr2e-3-seed1")
    names = {path.relative_to(evaluated).as_posix() for path in evaluated.rglob("*") if path.is_file()}
    manifest = read_json(evaluated / MANIFEST) | {"files": content_hashes(evaluated, names - {MANIFEST})}
    write_json(evaluated / MANIFEST, manifest)
    with pytest.raises(DataError, match=expected):
        add_and_build(folder, results)
    assert not (results / "records" / "contest").exists()
