"""Problems: right answers, true steps, runnable programs, formats, and a train side that never meets the test side."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from question_solver import solved

from rho1bench.mini_world import (
    COT_STOP,
    EXEMPLAR_SEPARATOR,
    MATH_TASKS,
    TOOL_TASKS,
    cot_prompt,
    cot_text,
    exemplars,
    make_problems,
    question_prompt,
    split_of,
)
from rho1bench.mini_world.sft import program_output

ALL_TASKS = (*MATH_TASKS, "gsm_hard")
CHOICE_TASKS = {"mathqa": 5, "mmlu_stem": 4, "sat": 4}
seeds = st.integers(min_value=0, max_value=10_000)


def test_the_tasks_are_the_papers() -> None:
    assert len(MATH_TASKS) == 9
    assert len(TOOL_TASKS) == 7
    assert set(TOOL_TASKS) - set(MATH_TASKS) == {"gsm_hard"}


@pytest.mark.parametrize("task", ALL_TASKS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_answers_are_right_and_steps_true(task: str, split: str) -> None:
    for problem in make_problems(task, split, 120, 3):  # type: ignore[arg-type]
        assert solved(problem) == problem.answer, problem.question
        for left, sign, right, result in re.findall(r"(\d+)([-+*])(\d+)=(\d+)", problem.solution):
            a, b = int(left), int(right)
            assert {"+": a + b, "-": a - b, "*": a * b}[sign] == int(result), problem.solution


@given(task=st.sampled_from(ALL_TASKS), seed=seeds)
def test_answers_are_right_for_any_seed(task: str, seed: int) -> None:
    (problem,) = make_problems(task, "train", 1, seed)
    assert solved(problem) == problem.answer


@pytest.mark.parametrize("task", ALL_TASKS)
def test_programs_print_the_answer(task: str) -> None:
    for problem in make_problems(task, "test", 6, 5):
        run = subprocess.run(
            [sys.executable, "-I", "-S", "-c", problem.program], capture_output=True, text=True, timeout=20, check=True
        )
        assert run.stdout == program_output(problem) + "\n"


@given(task=st.sampled_from(ALL_TASKS), seed=seeds, num=st.integers(0, 20))
def test_same_arguments_same_problems(task: str, seed: int, num: int) -> None:
    first = make_problems(task, "test", num, seed)
    assert first == make_problems(task, "test", num, seed)
    assert first == make_problems(task, "test", 25, seed)[:num]


def test_another_seed_gives_other_problems() -> None:
    assert make_problems("gsm8k", "test", 20, 0) != make_problems("gsm8k", "test", 20, 1)


@pytest.mark.parametrize("task", ALL_TASKS)
def test_splits_are_disjoint_and_questions_distinct(task: str) -> None:
    test = [problem.stem for problem in make_problems(task, "test", 120, 2404)]
    train = [problem.stem for problem in make_problems(task, "train", 120, 2404)]
    assert len(set(test)) == 120
    assert not set(test) & set(train)
    assert {split_of(stem) for stem in test} == {"test"}
    assert {split_of(stem) for stem in train} == {"train"}


def test_a_split_looks_at_words_and_numbers_not_at_case_or_space() -> None:
    assert split_of("Ann  has 3\npens.") == split_of("ann has 3 pens.")
    sides = {split_of(f"Ann has {number} pens.") for number in range(60)}
    assert sides == {"train", "test"}


@pytest.mark.parametrize("task", CHOICE_TASKS)
def test_choices_hold_the_answer_once(task: str) -> None:
    for problem in make_problems(task, "test", 60, 1):
        assert len(problem.choices) == len(set(problem.choices)) == CHOICE_TASKS[task]
        assert problem.answer in "ABCDE"[: len(problem.choices)]
        assert problem.solution.endswith(f"The answer is ({problem.answer}).")


def test_no_letter_is_favoured() -> None:
    letters = [problem.answer for problem in make_problems("mathqa", "train", 600, 0)]
    assert all(80 <= letters.count(letter) <= 160 for letter in "ABCDE")


@pytest.mark.parametrize("task", ALL_TASKS)
def test_prompt_format_is_the_protocols(task: str) -> None:
    (problem,) = make_problems(task, "test", 1, 9)
    prompt = question_prompt(problem)
    if task in ("math500", "mathqa", "mmlu_stem", "sat"):
        assert prompt == f"Problem:\n{problem.question}\nSolution:"
    else:
        assert prompt == f"Question: {problem.question}\nAnswer:"
    if task == "math500":
        ending = f"Final Answer: The final answer is ${problem.answer}$. I hope it is correct."
        assert problem.solution.endswith(ending)
    assert cot_text(problem) == f"{prompt} {problem.solution}"


@pytest.mark.parametrize("task", MATH_TASKS)
def test_few_shot_prompt(task: str) -> None:
    shots = exemplars(task, 2)
    (problem,) = make_problems(task, "test", 1, 4)
    prompt = cot_prompt(problem, shots)
    assert prompt == EXEMPLAR_SEPARATOR.join([cot_text(shots[0]), cot_text(shots[1]), question_prompt(problem)])
    assert EXEMPLAR_SEPARATOR == "\n\n\n"
    assert exemplars(task, 1) == shots[:1]
    assert all(split_of(shot.stem) == "train" for shot in shots)
    assert any(stop in f"\n{EXEMPLAR_SEPARATOR}{question_prompt(problem)}" for stop in COT_STOP)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="unknown mini-world task 'gsm9k'"):
        make_problems("gsm9k", "test", 1, 0)
    with pytest.raises(ValueError, match="num must be >= 0"):
        make_problems("gsm8k", "test", -1, 0)
    with pytest.raises(ValueError, match="fewer than 100000 distinct test questions"):
        make_problems("sat", "test", 100_000, 0)
