"""What the YAMLs of tasks/mini name with ``!function``: the rows of the mini world's tasks, and how
those of its general tasks are judged.

The rows come from a world seed of their own, whatever seed a run trains with: every run is tested on the same questions
(paper section 3.2; the mini world keeps test questions out of all training text). Few-shot exemplars are training-side.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import TYPE_CHECKING

from rho1bench import mini_world
from rho1bench.evaluation.harness.lm_eval_types import Doc, Splits
from rho1bench.evaluation.tasks.code_tasks import checks_of
from rho1bench.sandbox import check_programs

if TYPE_CHECKING:
    from datasets import Dataset

TEST_SEED = 2404
"""Seed of every mini test set; independent of the recipe's seed."""

NUM_ROWS = 120
"""Test rows of a math task: 1080 in the nine tasks of ``mini_math9``."""

NUM_EXEMPLARS = 8
CODE_SECONDS = 5.0

DATA_SETS = {"math500": "math", "sat": "sat_math"}
"""The paper's data-set name of a mini family where the two differ; it chooses the grading rules."""


def math_rows(family: str, num_rows: int = NUM_ROWS, **_: object) -> Splits:
    """Return the splits of a few-shot task: ``train`` (exemplars) and ``test``, with prompt, solution and answer."""
    exemplars = [_math_row(problem) for problem in mini_world.exemplars(family, NUM_EXEMPLARS)]
    problems = mini_world.make_problems(family, "test", num_rows, TEST_SEED)
    return {"train": _dataset(exemplars), "test": _dataset([_math_row(problem) for problem in problems])}


def tool_rows(family: str, num_rows: int = NUM_ROWS, **_: object) -> Splits:
    """Return the ``test`` split of a tool-integrated task, prompts in the dialogue format of the SFT samples."""
    problems = mini_world.make_problems(family, "test", num_rows, TEST_SEED)
    return {"test": _dataset([_math_row(p) | {"prompt": mini_world.tir_prompt(p)} for p in problems])}


def _math_row(problem: mini_world.Problem) -> Doc:
    return {
        "prompt": mini_world.question_prompt(problem),
        "question": problem.question,
        "solution": problem.solution,
        "answer": problem.answer,
        "data_set": DATA_SETS.get(problem.task, problem.task),
    }


def _dataset(rows: list[Doc]) -> Dataset:
    from datasets import Dataset

    return Dataset.from_list(rows)


def choice_rows(family: str, **_: object) -> Splits:
    """Return the ``test`` split of a multiple-choice task: ``prompt``, ``choices`` and ``target`` (an index)."""
    return {"test": _dataset([_choice_row(family, row) for row in _general(family)])}


def _general(family: str) -> list[Doc]:
    rows: list[Doc] = mini_world.general_rows(family)
    return rows


def _choice_row(family: str, row: Doc) -> Doc:
    question, choices = row["question"], list(row["choices"])
    if family in ("mmlu", "agieval"):
        letters = string.ascii_uppercase[: len(choices)]
        options = "".join(f"{letter}. {choice}\n" for letter, choice in zip(letters, choices, strict=True))
        return {"prompt": f"{question}\n{options}Answer:", "choices": list(letters), "target": row["answer"]}
    passage = f"{row['passage']}\n" if "passage" in row else ""
    bare = family in ("hellaswag", "openbookqa")
    prompt = question if bare else f"{passage}Question: {question}\nAnswer:"
    return {"prompt": prompt, "choices": choices, "target": row["answer"]}


def winogrande_rows(**_: object) -> Splits:
    """Return the ``test`` split of the pronoun task: each option gives a context, the sentence's rest is scored."""
    rows = []
    for row in _general("winogrande"):
        before, _gap, after = row["question"].partition("_")
        contexts = [before + choice for choice in row["choices"]]
        rows.append({"contexts": contexts, "rest": after.strip(), "target": row["answer"]})
    return {"test": _dataset(rows)}


def bbh_rows(**_: object) -> Splits:
    """Return the ``test`` split of the BBH-like task, answered in free text."""
    return {"test": _dataset([_bbh_row(row) for row in _general("bbh")])}


def _bbh_row(row: Doc) -> Doc:
    options = ", ".join(row["choices"])
    prompt = f"Q: {row['question']}\nOptions: {options}\nA:"
    return {"prompt": prompt, "answer": row["choices"][row["answer"]], "subtask": row["subtask"]}


def bbh_results(doc: Doc, results: list[str]) -> dict[str, float]:
    """Exact match of what follows "the answer is" (else the whole completion), without case and final full stop."""
    answer = re.split(r"the answer is", results[0], flags=re.IGNORECASE)[-1]
    return {"exact_match": float(_plain(answer) == _plain(doc["answer"]))}


def _plain(text: str) -> str:
    return text.strip().rstrip(".").strip().lower()


def tydiqa_rows(**_: object) -> Splits:
    """Return the ``test`` split of the reading task: a passage that holds the answer, a question, the answers."""
    rows = [
        {
            "prompt": f"Passage: {row['context']}\nQuestion: {row['question']}\nAnswer:",
            "answers": list(row["answers"]),
            "language": row["language"],
        }
        for row in _general("tydiqa")
    ]
    return {"test": _dataset(rows)}


def tydiqa_results(doc: Doc, results: list[str]) -> dict[str, float]:
    """Best word F1 over the gold answers."""
    return {"f1": max(word_f1(results[0], answer) for answer in doc["answers"])}


def word_f1(prediction: str, answer: str) -> float:
    """Return the F1 of the words (no case, punctuation or articles) of ``prediction`` against those of ``answer``."""
    predicted, gold = _words(prediction), _words(answer)
    if not predicted or not gold:
        return float(predicted == gold)
    common = (Counter(predicted) & Counter(gold)).total()
    return 2 * common / (len(predicted) + len(gold))


def _words(text: str) -> list[str]:
    bare = "".join(" " if mark in string.punctuation else mark for mark in text.lower())
    return [word for word in bare.split() if word not in {"a", "an", "the"}]


def humaneval_rows(**_: object) -> Splits:
    """Return the ``test`` split of the completion-style code task: the prompt ends inside a function."""
    rows = [
        {
            "prompt": row["prompt"],
            "solution": row["solution"],
            "before": row["prompt"],
            "after": f"{row['tests']}\ncheck({row['entry_point']})\n",
        }
        for row in _general("humaneval")
    ]
    return {"test": _dataset(rows)}


def mbpp_rows(**_: object) -> Splits:
    """Return the ``test`` split of the description-style code task; the model ends its program with ``[DONE]``."""
    rows = [
        {
            "prompt": f"{row['prompt']}\n" + "\n".join(row["tests"]) + "\n[BEGIN]\n",
            "solution": row["solution"],
            "before": "",
            "after": "\n".join(row["tests"]) + "\n",
        }
        for row in _general("mbpp")
    ]
    return {"test": _dataset(rows)}


def code_results(doc: Doc, results: list[str]) -> dict[str, float]:
    """Test the completion in the sandbox: 1.0 if all tests held."""
    checks = checks_of(doc["before"], doc["solution"], doc["after"])
    (result,) = check_programs([(f"{doc['before']}{results[0]}\n", checks)], timeout=CODE_SECONDS)
    return {"pass@1": float(result.outcome == "ok")}
