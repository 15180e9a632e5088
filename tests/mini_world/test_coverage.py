"""The part of the world that curated text shows: shares, nesting, disjoint tests, unchanged defaults."""

from __future__ import annotations

import re
from itertools import pairwise
from random import Random

import pytest

from rho1bench.mini_world import EVERYTHING, MATH_TASKS, Coverage, Problem, clean_documents, make_problems, split_of
from rho1bench.mini_world.problems import any_problem

SHARES = (0.1, 0.25, 0.6, 1.0)
NUM = 300


@pytest.fixture(scope="module")
def problems() -> dict[str, list[Problem]]:
    """Problems of each task that no threshold was made of."""
    rng = Random("another sample")
    return {task: [any_problem(task, rng) for _ in range(NUM)] for task in MATH_TASKS}


def covered(coverage: Coverage, problems: list[Problem]) -> set[str]:
    return {problem.stem for problem in problems if coverage.covers(problem)}


@pytest.mark.parametrize("axis", ["operands", "phrasings"])
def test_the_share_of_covered_problems_is_the_stated_one(axis: str, problems: dict[str, list[Problem]]) -> None:
    for share in SHARES:
        coverage = Coverage(**{axis: share})
        found = [sum(map(coverage.covers, problems[task])) / NUM for task in MATH_TASKS]
        # A task with few numbers or wordings cannot have the share to the point: mmlu_stem has wordings of 1 in 12.
        assert found == pytest.approx([share] * 9, abs=0.12)
        assert sum(found) / 9 == pytest.approx(share, abs=0.04)


def test_the_share_of_covered_tasks_is_the_nearest() -> None:
    numbers = {share: len(Coverage(tasks=share).covered_tasks) for share in (0.01, 0.25, 0.5, 0.75, 1.0)}
    assert numbers == {0.01: 1, 0.25: 2, 0.5: 5, 0.75: 7, 1.0: 9}
    assert EVERYTHING.covered_tasks == MATH_TASKS


@pytest.mark.parametrize("axis", ["tasks", "operands", "phrasings"])
def test_a_smaller_share_is_a_part_of_a_larger_one(axis: str, problems: dict[str, list[Problem]]) -> None:
    every = [problem for task in MATH_TASKS for problem in problems[task]]
    parts = [covered(Coverage(**{axis: share}), every) for share in SHARES]
    assert all(smaller < larger for smaller, larger in pairwise(parts))
    assert len(parts[-1]) == len({problem.stem for problem in every})


def test_operands_are_covered_from_the_smallest_up(problems: dict[str, list[Problem]]) -> None:
    def largest(problem: Problem) -> int:
        return max(map(int, re.findall(r"\d+", problem.stem)))

    coverage = Coverage(operands=0.4)
    for task in MATH_TASKS:
        inside = [largest(problem) for problem in problems[task] if coverage.covers(problem)]
        outside = [largest(problem) for problem in problems[task] if not coverage.covers(problem)]
        assert max(inside) <= min(outside)


def test_fewer_phrasings_are_fewer_words(problems: dict[str, list[Problem]]) -> None:
    coverage = Coverage(phrasings=0.25)
    for task in ("gsm8k", "svamp", "tabmwp"):
        words = [set(re.findall(r"[A-Za-z]+", problem.stem)) for problem in problems[task]]
        kept = [found for found, problem in zip(words, problems[task], strict=True) if coverage.covers(problem)]
        assert len(set.union(*kept)) < 0.85 * len(set.union(*words))


def test_curated_text_shows_what_is_covered_and_no_test_question() -> None:
    coverage = Coverage(tasks=0.3, operands=0.5, phrasings=0.5)
    documents = clean_documents(150, 0, coverage=coverage)
    text = "\n".join(document.text for document in documents)
    questions = re.findall(r"Question: (.+?)\nAnswer:|Problem:\n(.+?)(?:\n\(A\).*?)?\nSolution:", text, re.DOTALL)
    stems = {re.sub(r" Options: A\) .*$", "", "".join(found)) for found in questions}
    known = {problem.stem for task in MATH_TASKS for problem in make_problems(task, "train", 100, 0)}
    assert len(stems) > 100
    assert {split_of(stem) for stem in stems} == {"train"}
    assert {problem.task for problem in map(as_problem, stems)} == set(coverage.covered_tasks)
    assert all(coverage.covers(as_problem(stem)) for stem in stems)
    assert not all(coverage.covers(as_problem(stem)) for stem in known if " km " in stem)


def as_problem(stem: str) -> Problem:
    """A question with the task that its words tell; those of ``Coverage(tasks=0.3)`` alone."""
    task = "asdiv" if "bags" in stem or "boxes" in stem else "mathqa" if stem.endswith(" ?") else "svamp"
    return Problem(task, stem, "", "", "", stem=stem)


def test_everything_is_the_text_without_coverage() -> None:
    assert clean_documents(30, 1, coverage=Coverage(1.0, 1.0, 1.0)) == clean_documents(30, 1)


def test_a_stream_of_covered_documents_does_not_depend_on_where_it_is_cut() -> None:
    coverage = Coverage(tasks=0.5, operands=0.5, phrasings=0.5)
    assert clean_documents(3, 2, 4, coverage=coverage) == clean_documents(7, 2, coverage=coverage)[4:]


@pytest.mark.parametrize("share", [0.0, 1.1, -0.5])
def test_bad_shares(share: float) -> None:
    with pytest.raises(ValueError, match=r"coverage.operands must be in \(0, 1\]"):
        Coverage(operands=share)


def test_a_coverage_without_any_problem_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rho1bench.mini_world.coverage._PATIENCE", 20)
    with pytest.raises(ValueError, match=r"asdiv: no problem is covered by Coverage\(tasks=0.01"):
        Coverage(0.01, 0.001, 0.001).draw("asdiv", Random(0))
