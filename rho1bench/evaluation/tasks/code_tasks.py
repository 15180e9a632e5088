"""HumanEval and MBPP: their documents, the programs made from completions, pass@k (paper section 3.3).

Named by the YAMLs of tasks/rho1/general. All programs of a task are tested side by side in ``rho1bench.sandbox`` when
lm-eval applies the task's filter; pass@k then sees how each fared. A change of what counts as a pass raises the version
in those YAMLs and in the mini world's.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from rho1bench.evaluation.data.general_sets import EXEMPLARS, read_splits
from rho1bench.evaluation.harness.lm_eval_internals import load_task_yaml
from rho1bench.sandbox import Checks, check_programs

if TYPE_CHECKING:
    from datasets import Dataset

HUMANEVAL_SECONDS = 3.0
MBPP_SECONDS = 10.0
"""Time of a program, as in the harnesses that the paper used; there it was that of the clock."""

MBPP_EXEMPLARS = slice(1, 4)
IMPORTS = (ast.Import, ast.ImportFrom)


class CodeDoc(TypedDict):
    """One problem: what the model is asked, and what stands around its completion in the program that is run."""

    task_id: str | int
    prompt: str
    solution: str
    before: str
    after: str
    seconds: float


class HumanEvalRow(TypedDict):
    """A row of the data set, as far as it is used."""

    task_id: str
    prompt: str
    canonical_solution: str
    test: str
    entry_point: str


class MbppRow(TypedDict):
    """A row of the data set, as far as it is used."""

    task_id: int
    text: str
    code: str
    test_setup_code: str
    test_list: list[str]


def humaneval_docs(folder: str, path: str, revisions: Mapping[str, str], **_: object) -> dict[str, Dataset]:
    """Return the ``test`` split; a completion continues the prompt, inside a function. Raises DataError."""
    from datasets import Dataset

    rows = read_splits(folder, path, None, revisions[path])["test"]
    return {"test": Dataset.from_list([_humaneval_doc(row) for row in rows])}


def _humaneval_doc(row: HumanEvalRow) -> CodeDoc:
    return {
        "task_id": row["task_id"],
        "prompt": row["prompt"],
        "solution": row["canonical_solution"],
        "before": row["prompt"],
        "after": f"{row['test']}\ncheck({row['entry_point']})\n",
        "seconds": HUMANEVAL_SECONDS,
    }


def mbpp_docs(folder: str, path: str, name: str, revisions: Mapping[str, str], **_: object) -> dict[str, Dataset]:
    """Return the splits ``exemplars`` and ``test``; a completion is a whole program. Raises DataError."""
    from datasets import Dataset

    found = read_splits(folder, path, name, revisions[path])
    exemplars = [_mbpp_doc(row) for row in list(found["prompt"])[MBPP_EXEMPLARS]]
    for doc in exemplars:
        doc["solution"] += "\n[DONE]"
    return {
        EXEMPLARS: Dataset.from_list(exemplars),
        "test": Dataset.from_list([_mbpp_doc(row) for row in found["test"]]),
    }


def _mbpp_doc(row: MbppRow) -> CodeDoc:
    from lm_eval.utils import apply_template

    return {
        "task_id": row["task_id"],
        "prompt": apply_template(_mbpp_template(), row),
        "solution": row["code"].replace("\r", "").replace("\t", "    "),
        "before": "",
        "after": "\n".join([row["test_setup_code"], *row["test_list"]]) + "\n",
        "seconds": MBPP_SECONDS,
    }


@cache
def _mbpp_template() -> str:
    """Return lm-eval's wording of the task; its YAML cannot be included, since it fetches code when it is read."""
    import lm_eval.tasks

    place = Path(lm_eval.tasks.__file__).parent / "mbpp" / "mbpp.yaml"
    return str(load_task_yaml(place)["doc_to_text"])


def checks_of(before: str, solution: str, tests: str) -> Checks:
    """Return what decides whether a program passes ``tests``, given the data set's own solution.

    What the tests use is taken from the program only where the solution defines it. Whole definitions and imports in
    ``before``, the part of the program that is no completion, are the data set's own, and so are the modules that the
    solution imports; other names are Python's.

    Raises:
        SyntaxError: the data set's own program or tests are no Python.
    """
    own_lines = before.count("\n")
    own, defined = [], set()
    for node in _own_program(before, solution).body:
        if isinstance(node, IMPORTS) or (node.end_lineno or 0) <= own_lines:
            own.append(ast.unparse(node))
        else:
            defined |= set(_names_bound_by(node))
    used = {node.id for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Name)}
    return Checks(setup="\n".join(own), tests=tests, names=sorted(defined & used))


def _own_program(before: str, solution: str) -> ast.Module:
    try:
        return ast.parse(before + solution)
    except SyntaxError:  # the signature of a function says what it defines, too
        return ast.parse(f"{before}    pass\n")


def _names_bound_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    else:
        yield from (
            part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
        )


def run_samples(completions: Sequence[Sequence[str]], docs: Sequence[CodeDoc]) -> list[list[str]]:
    """Return how each program of each document fared (``ok``, ``error``, ``timeout``, ...); equal programs run once.

    A program is what stands before the completion, and the completion; ``ok`` says that all tests of its document were
    run on it and held.
    """
    checks = [checks_of(doc["before"], doc["solution"], doc["after"]) for doc in docs]
    numbered = [
        [(f"{doc['before']}{text}\n", number) for text in texts]
        for number, (texts, doc) in enumerate(zip(completions, docs, strict=True))
    ]
    different = list(dict.fromkeys(program for programs in numbered for program in programs))
    results = check_programs([(source, checks[number]) for source, number in different], docs[0]["seconds"])
    outcomes = {program: result.outcome for program, result in zip(different, results, strict=True)}
    return [[outcomes[program] for program in programs] for programs in numbered]


def pass_at_1(doc: CodeDoc, outcomes: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return pass@1 of a document from how its programs ended."""
    return {"pass@1": pass_at_k(len(outcomes[0]), outcomes[0].count("ok"), 1)}


def pass_at_10(doc: CodeDoc, outcomes: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return pass@10 of a document from how its programs ended."""
    return {"pass@10": pass_at_k(len(outcomes[0]), outcomes[0].count("ok"), 10)}


def pass_at_k(num_samples: int, num_passed: int, k: int) -> float:
    """Return the chance that one of ``k`` samples drawn without replacement passes: the unbiased estimate of pass@k.

    Raises:
        ValueError: fewer than ``k`` samples.
    """
    if not 0 <= num_passed <= num_samples or not 1 <= k <= num_samples:
        raise ValueError(f"pass@{k} of {num_samples} samples, {num_passed} of which passed, is not defined")
    return 1.0 - math.comb(num_samples - num_passed, k) / math.comb(num_samples, k)
