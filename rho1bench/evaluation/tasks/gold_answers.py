"""The gold answer of each test document as a text that a model may be asked to predict after the task's own prompt.

It is written as the exemplars of the task are: the worked solution where there is one (mini world, GSM8K, MATH), else
the sentence that ends an exemplar; the program of a code task; the right choice; the first turn of a tool-integrated
sample. Tasks whose data sets have no such text (tool-integrated ones on real data) have no gold answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from rho1bench import mini_world
from rho1bench.comparison.result_files import JsonObject
from rho1bench.evaluation.data.math_sets import MATH_SETS
from rho1bench.evaluation.data.pinned_files import read_rows
from rho1bench.evaluation.harness.lm_eval_types import Doc, EvalTask
from rho1bench.evaluation.tasks.mini_tasks import NUM_ROWS, TEST_SEED
from rho1bench.evaluation.tasks.prompts import EXEMPLARS

_TOOL_PROMPT = "<|assistant|>\n"
_TOOL_CALL = "```output"
"""Ends the turn in which the model writes its program."""


@dataclass(frozen=True)
class GoldAnswer:
    """One document's prompt and right answer, which follows it without anything between."""

    doc_id: str
    prompt: str
    answer: str
    loglikelihood: float | None = None
    """In nats; given where the task's own requests have asked for it (multiple choice)."""
    truncated: bool = False
    """Of such a request: whether the prompt had to be cut."""

    @property
    def num_bytes(self) -> int:
        """Bytes that are predicted: the answer, and the blanks before it, which lm-eval takes from the prompt's end."""
        blanks = self.prompt[len(self.prompt.rstrip()) :]
        return len((blanks + self.answer).encode("utf-8"))


def gold_answers(task: EvalTask, rows: Sequence[JsonObject]) -> list[GoldAnswer]:
    """Return the gold answers of a task's samples, ``rows``; none where its data set has none."""
    if task.OUTPUT_TYPE == "multiple_choice":
        return [_choice(task, row) for row in rows]
    found = [(row, _answer(task, row)) for row in rows]
    return [GoldAnswer(str(row["doc_id"]), row["prompt"], text) for row, text in found if text is not None]


def _choice(task: EvalTask, row: JsonObject) -> GoldAnswer:
    """Return the right choice; of a task whose choices are contexts, what follows the right one."""
    doc, delimiter = row["doc"], task.get_config("target_delimiter")
    choices = list(task.doc_to_choice(doc))
    if task.multiple_input:
        gold = int(task.doc_to_text(doc))
        prompt, answer = choices[gold], f"{delimiter}{task.doc_to_target(doc)}"
    else:
        target = first_answer(task.doc_to_target(doc))
        gold = choices.index(target) if isinstance(target, str) else int(target)
        prompt, answer = row["prompt"], f"{delimiter}{choices[gold]}"
    return GoldAnswer(str(row["doc_id"]), prompt, answer, row["loglikelihoods"][gold], row["truncated"])


def _answer(task: EvalTask, row: JsonObject) -> str | None:
    doc: Doc = row["doc"]
    if str(row["prompt"]).endswith(_TOOL_PROMPT):
        return _program(task, int(row["doc_id"])) if "solution" in doc else None
    if "data_set" in doc:
        return f" {doc['solution'] if 'solution' in doc else worked_solution(doc)}"
    if "solution" in doc:  # a program, which goes on where the prompt ends
        return str(doc["solution"])
    text = str(first_answer(doc["answers"] if "answers" in doc else task.doc_to_target(doc)))
    delimiter = "" if row["prompt"][-1:].isspace() else " "
    return f"{delimiter}{text}" if text else None


def first_answer(target: Any) -> Any:
    """Return the first of several right answers; data sets write them as a list, or as a list under ``text``."""
    found = target.get("text") if isinstance(target, dict) else target
    return found[0] if isinstance(found, list) and found else found


def _program(task: EvalTask, doc_id: int) -> str:
    """Return the turn in which a mini problem's program is written, up to where the tool answers."""
    options = task.get_config("dataset_kwargs")
    problem = _problems(options["family"], options.get("num_rows", NUM_ROWS))[doc_id]
    return mini_world.tir_sample(problem).segments[1][1].removesuffix(_TOOL_CALL)


@cache
def _problems(family: str, num_rows: int) -> Sequence[mini_world.Problem]:
    return mini_world.make_problems(family, "test", num_rows, TEST_SEED)


def worked_solution(doc: Doc) -> str:
    """Return the worked solution of a real math problem, else the sentence that ends an exemplar of its data set."""
    data_set = doc["data_set"]
    if data_set == "gsm8k":
        text, _, answer = _rows(data_set)[doc["idx"]]["answer"].rpartition("\n####")
        return f"{re.sub('<<.*?>>', '', text)} The answer is {answer.strip()}."
    if data_set == "math":
        return str(_rows(data_set)[doc["idx"]]["solution"])
    if EXEMPLARS[data_set] == "gsm8k":
        return f"The answer is {doc['answer']}."
    return f"Final Answer: The final answer is ({doc['answer']})."


@cache
def _rows(data_set: str) -> dict[str, Doc]:
    return {str(row.get("idx", place)): row for place, row in enumerate(read_rows(MATH_SETS[data_set]))}
