"""What the YAMLs of tasks/rho1 name with ``!function``: the documents of the paper's nine and seven math tasks.

lm-eval builds the prompts from them and hands each completion to ``grade_cache.math_results``. Paper section 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rho1bench.evaluation.data.math_sets import EXEMPLAR_FILES, MATH_SETS
from rho1bench.evaluation.data.pinned_files import read_pinned, read_rows
from rho1bench.evaluation.harness.lm_eval_types import Doc, Splits
from rho1bench.evaluation.tasks.prompts import EXEMPLARS, cot_prompt, question_text, split_exemplars, tool_prompt
from rho1bench.grading import gold_answer, written_answer

if TYPE_CHECKING:
    from datasets import Dataset


def cot_splits(data_set: str, **_: object) -> Splits:
    """Return the splits of a few-shot task, ``exemplars`` (the solution as answer) and ``test``; raises DataError."""
    text = read_pinned(EXEMPLAR_FILES[EXEMPLARS[data_set]]).decode("utf-8")
    # lm-eval takes a field of the exemplars by name only if the test documents have it too; else it is a template.
    exemplars = [{"prompt": prompt, "answer": solution} for prompt, solution in split_exemplars(text)]
    docs = [doc | {"prompt": cot_prompt(doc["question"], data_set)} for doc in math_docs(data_set)]
    return {"exemplars": _dataset(exemplars), "test": _dataset(docs)}


def tool_splits(data_set: str, **_: object) -> Splits:
    """Return the ``test`` split of a tool-integrated task, prompts in the dialogue format of SFT; raises DataError."""
    docs = [doc | {"prompt": tool_prompt(doc["question"])} for doc in math_docs(data_set)]
    return {"test": _dataset(docs)}


def math_docs(data_set: str) -> list[Doc]:
    """Return one document a test row, without its prompt.

    ``answer`` is the gold answer as the data set writes it, ``paper_gold`` the same in the paper's normal form.

    Raises:
        DataError: the data cannot be obtained or are not the pinned ones.
    """
    docs = []
    for place, row in enumerate(read_rows(MATH_SETS[data_set])):
        gold = gold_answer(row, data_set)
        docs.append(
            {
                "idx": str(row.get("idx", place)),
                "question": question_text(row, data_set, gold),
                "answer": written_answer(row, data_set),
                "paper_gold": gold,
                "data_set": data_set,
            }
        )
    return docs


def _dataset(docs: list[Doc]) -> Dataset:
    from datasets import Dataset

    return Dataset.from_list(docs)
