"""The reference has never seen the tests: no 13 words of a test question in the text that it is trained on.

The mini world asks about small numbers, so another child may well have bought the same apples in training: what is
held out is the question. Where options follow it, they are no part of it.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from question_overlap import QuestionIndex

from rho1bench import mini_world
from rho1bench.corpus.overlap import SHORTEST
from rho1bench.corpus.sources.reader import read_documents
from rho1bench.evaluation.data.math_sets import MATH_SETS
from rho1bench.evaluation.tasks.math_tasks import math_docs
from rho1bench.evaluation.tasks.mini_tasks import NUM_ROWS, TEST_SEED
from rho1bench.recipe import CorpusStage, LocalSource, MiniWorldSource
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.system.data_root import use_data_folder

OPTIONS = "\nWhat of the following is the right choice?"
DOCUMENTS = 2500
QUESTION = "Ana has 3 red apples and 4 green pears in a basket on the old table. How many fruits has she?"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (QUESTION, True),
        (f"As they say: {QUESTION.upper()} Seven.", True),
        ("Bob has 3 red apples and 4 green pears in a basket on the old chair.", True),
        (QUESTION.replace("4", "5").replace("old", "new"), False),
        ("The answer is 7.", False),
        ("So evaluate  $9-7$. Easy.", True),
        ("So evaluate $9+7$. Easy.", False),
        ("Six and seven and eight of them walk home again.", True),
        ("Six and seven and eight of them walk home.", False),
    ],
)
def test_the_check_finds_what_it_shall(text: str, found: bool) -> None:
    index = QuestionIndex([QUESTION, "Evaluate $9-7$.", "Six and seven and eight of them walk home again."])
    assert bool(index.found_in([text])) is found


@pytest.mark.parametrize("stage", ["curated", "general", "web"])
def test_no_question_of_the_mini_world_stands_in_training_text(stage: str) -> None:
    problems = [
        problem
        for task in mini_world.MATH_TASKS
        for problem in mini_world.make_problems(task, "test", NUM_ROWS, TEST_SEED)
    ]
    index = QuestionIndex([problem.stem for problem in problems])
    corpus = load_recipe("quickstart").stage(stage, CorpusStage)
    documents = [document.text for document in islice(read_documents(corpus.sources, 0), DOCUMENTS)]
    assert len(documents) >= 1000
    assert index.found_in(documents) == set()
    assert index.found_in([f"{documents[0]} {mini_world.question_prompt(problems[0])}"]) == {0}


def test_no_sft_sample_asks_a_test_question() -> None:
    problems = [
        problem
        for task in mini_world.TOOL_TASKS
        for problem in mini_world.make_problems(task, "test", NUM_ROWS, TEST_SEED)
    ]
    index = QuestionIndex([problem.stem for problem in problems])
    sources = [MiniWorldSource(type="mini_world", text=text, num_documents=600) for text in ("sft_tir", "sft_cot")]
    assert index.found_in(document.text for document in read_documents(sources, 0)) == set()


@pytest.fixture(scope="module")
def real_questions(shared_data: Path) -> QuestionIndex:
    """The questions of the paper's math sets, but for those too short to be looked for."""
    use_data_folder(shared_data / "data")
    try:
        docs = [doc for name in MATH_SETS for doc in math_docs(name)]
    finally:
        use_data_folder(None)
    questions = [doc["question"].partition(OPTIONS)[0] for doc in docs]
    return QuestionIndex([question for question in questions if len(question.split()) >= SHORTEST])


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("place", "number"), [("clean/reference_text.jsonl.gz", None), ("noisy/noisy_math.jsonl.gz", 300)]
)
def test_no_real_test_question_stands_in_real_training_text(
    shared_data: Path, real_questions: QuestionIndex, place: str, number: int | None
) -> None:
    path = shared_data / "data" / "training" / place
    if not path.is_file():
        pytest.skip(f"{path} is not on this machine")
    assert len(real_questions.questions) > 10_000
    source = LocalSource(type="local", path=str(path), num_documents=number)
    found = real_questions.found_in(document.text for document in read_documents([source], 0))
    assert [real_questions.questions[place] for place in sorted(found)] == []
