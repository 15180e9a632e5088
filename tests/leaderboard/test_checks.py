"""Every way in which the files of results/ can be wrong is caught, told by its place, and by nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_records import compared, fake_pair, fake_record, with_hashes, write_results

from rho1bench.errors import DataError
from rho1bench.leaderboard.pages.build import HTML_PAGE, MARKDOWN_PAGE, SCHEMA_FILE, check_results, write_pages
from rho1bench.leaderboard.records.record import settings_sha256

Json = dict[str, Any]
LEFT = "records/rho1_math9/one.slm.seed0.json"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    records = [*fake_pair("one"), *fake_pair("two", seed=1), fake_record("three"), fake_record("four", limit=8)]
    write_results(folder, records)
    write_pages(folder)
    return folder


@pytest.fixture
def results(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "results"))


def test_sound_results_have_no_problem(results: Path) -> None:
    assert check_results(results) == []
    assert write_pages(results) == []
    assert len(list((results / "records").rglob("*.json"))) == 6


def edit(results: Path, change: Callable[[Json], Any], *, reseal: bool, place: str = LEFT) -> None:
    path = results / place
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(with_hashes(data) if reseal else data))


def task(data: Json) -> Json:
    found: Json = data["tasks"]["rho1_gsm8k_cot"]
    return found


def flip(data: Json) -> None:
    scores = task(data)["scores"]
    task(data)["scores"] = ("1" if scores[0] == "0" else "0") + scores[1:]


def widen(data: Json) -> None:
    task(data)["ci"] = [0.9, 1.0]


def other_document_count(data: Json) -> None:
    task(data)["scores"] += "1"


MUTATIONS: dict[str, tuple[Callable[[Json], Any], bool, str]] = {
    "one digit of a seed": (lambda data: data["training"].update(seed=7), False, "sha256 does not match"),
    "a fingerprint": (lambda data: data.update(eval_fingerprint="0" * 64), False, "eval_fingerprint does not match"),
    "a score": (lambda data: task(data).update(score=0.123), True, "does not follow from its scores"),
    "one answer": (flip, True, "does not follow from its scores"),
    "an accuracy of 101": (lambda data: task(data).update(score=1.01), True, "less than or equal to 1"),
    "an interval that does not hold its point": (widen, True, "does not hold the score"),
    "an average": (lambda data: data["average"].update(score=0.99), True, "is not the mean of its tasks"),
    "an interval of the average": (lambda data: data["average"].update(ci=[0.0, 1.0]), True, "average: ci"),
    "a further answer": (other_document_count, True, "scores"),
    "an unknown field": (lambda data: data.update(comment="trust me"), True, "Extra inputs are not permitted"),
    "a missing field": (lambda data: data.pop("command"), True, "Field required"),
    "verdicts": (lambda data: task(data)["verdicts"]["paper"].update(correct=1000), True, "verdicts are"),
    "a limit called full": (lambda data: data.update(limit=40), True, "scale is full"),
    "a missing task": (lambda data: data["tasks"].pop("rho1_sat_cot"), True, "tasks are not those of"),
    "a difference": (lambda data: data["comparison"]["average"].update(difference=0.5), True, "the difference is"),
    "p": (lambda data: data["comparison"]["tasks"]["rho1_gsm8k_cot"].update(p=0.5), True, "McNemar"),
    "a baseline that is not there": (
        lambda data: data["comparison"].update(baseline="rho1_math9/nobody"), True, "has no record"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_changed_record_is_caught(results: Path, name: str) -> None:
    change, reseal, expected = MUTATIONS[name]
    edit(results, change, reseal=reseal)
    problems = check_results(results)
    assert any(problem.startswith(LEFT) and expected in problem for problem in problems), problems
    with pytest.raises(DataError, match="the pages are not built"):
        write_pages(results)


def test_at_least_the_changes_that_the_design_names_are_tried() -> None:
    assert len(MUTATIONS) == 17


def test_a_change_that_keeps_everything_in_order_makes_the_pages_stale(results: Path) -> None:
    edit(results, lambda data: data["model"].update(name="another name"), reseal=True)
    text = "\n".join(check_results(results))
    assert f"{HTML_PAGE}: is not what the records give" in text or f"{MARKDOWN_PAGE}: is not" in text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_no_record(results: Path, number: str) -> None:
    path = results / LEFT
    data = json.loads(path.read_text())
    path.write_text(path.read_text().replace(f'"seed": {data["training"]["seed"]}', f'"seed": {number}', 1))
    assert any("is no number in JSON" in problem for problem in check_results(results))


def test_a_key_that_comes_twice_is_caught(results: Path) -> None:
    path = results / LEFT
    path.write_text(path.read_text().replace('"suite":', '"suite": "x", "suite":', 1))
    assert any("comes twice" in problem for problem in check_results(results))


def test_a_deleted_record_is_missed(results: Path) -> None:
    (results / "records/rho1_math9/three.json").unlink()
    assert any("is not what the records give" in problem for problem in check_results(results))


def test_a_deleted_baseline_is_missed_by_its_treatment(results: Path) -> None:
    (results / "records/rho1_math9/one.clm.seed0.json").unlink()
    assert any(problem.startswith(LEFT) and "has no record" in problem for problem in check_results(results))


def test_a_renamed_record_is_caught(results: Path) -> None:
    path = results / LEFT
    path.rename(path.with_name("best.json"))
    assert any("so it belongs in" in problem for problem in check_results(results))


def test_a_copied_record_is_caught_under_its_own_and_under_a_new_id(results: Path) -> None:
    path = results / "records/rho1_math9/three.json"
    data = json.loads(path.read_text())
    path.with_name("five.json").write_text(json.dumps(with_hashes(data | {"id": "rho1_math9/five"})))
    assert any("the same row as" in problem for problem in check_results(results))
    path.with_name("five.json").write_text(path.read_text())
    assert any("so it belongs in" in problem for problem in check_results(results))


def test_an_unlike_row_may_not_stand_in_a_column(results: Path) -> None:
    record = fake_record("six")
    record["tasks"]["rho1_gsm8k_cot"]["prompts_sha256"] = "5" * 64
    write_results(results, [with_hashes(record)])
    problems = check_results(results)
    assert any("may not stand in one column" in one and "prompts_sha256 of rho1_gsm8k_cot" in one for one in problems)


def test_a_pair_evaluated_otherwise_is_caught(results: Path) -> None:
    left, right = fake_pair("seven", seed=3, limit=8)
    right["evaluation"]["grader"] = 2
    write_results(results, [left, with_hashes(right)])
    assert any("was evaluated otherwise" in problem for problem in check_results(results))


def test_a_file_that_is_no_record_is_named(results: Path) -> None:
    (results / "records/notes.txt").write_text("hello")
    (results / "records/rho1_math9/half.json").write_text('{"schema": 1,')
    problems = check_results(results)
    assert any(problem.startswith("records/notes.txt: is no record") for problem in problems)
    assert any(problem.startswith("records/rho1_math9/half.json: cannot be read") for problem in problems)


@pytest.mark.parametrize("page", [MARKDOWN_PAGE, HTML_PAGE, SCHEMA_FILE])
def test_one_character_of_a_page_is_caught_and_shown(results: Path, page: str) -> None:
    path = results / page
    text = path.read_text()
    place = next(index for index, char in enumerate(text) if char.isdigit() and index > len(text) // 2)
    path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    problems = check_results(results)
    assert problems[0].startswith(f"{page}: is not what the records give")
    assert any(line.strip().startswith("-") for line in problems[1:])
    path.unlink()
    assert check_results(results) == [f"{page}: is missing. `rho1bench leaderboard build` makes it."]
    assert [found.name for found in write_pages(results)] == [page]


def test_a_recipe_that_is_kept_must_be_there_and_the_same(results: Path) -> None:
    settings = {"name": "mine", "stages": []}
    facts = {"recipe": "mine", "recipe_sha256": settings_sha256(settings)}
    record = fake_record("mine.clm.seed0", training=facts | {"method": "clm"})
    record["command"] = "rho1bench run results/recipes/mine.yaml --seed 0"
    write_results(results, [with_hashes(record)])
    assert any("its recipe recipes/mine.yaml cannot be read" in problem for problem in check_results(results))
    path = results / "recipes/mine.yaml"
    path.parent.mkdir()
    path.write_text("name: mine\nseed: 3\nstages: []\n")
    write_pages(results)
    assert check_results(results) == []
    path.write_text("name: mine\nstages: [more]\n")
    assert any("is not the recipe" in problem for problem in check_results(results))


def test_the_numbers_of_a_comparison_are_those_of_its_records() -> None:
    left, right = fake_pair("eight", seed=5)
    assert compared(left, right) == left
    assert left["comparison"]["average"]["difference"] == pytest.approx(
        left["average"]["score"] - right["average"]["score"]
    )


def test_the_shipped_results_are_in_order() -> None:
    from rho1bench.system.paths import results_dir

    assert len(list((results_dir() / "records").rglob("*.json"))) >= 50
    assert check_results(results_dir()) == []
