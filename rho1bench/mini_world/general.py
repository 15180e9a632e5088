"""The fixture rows of the general suite: small, project-written rows in the shape of the paper's general benchmarks.

They exist so that a quickstart walks through all of the suite (paper section 3.3); scores on a dozen rows say nothing
about a model. GSM8K and MATH are shared with the math suite and have no rows here. The rows live beside this module,
one JSON object a line.
"""

from __future__ import annotations

import json
from importlib import resources

_CHOICE_TASKS = (
    "mmlu", "bbh", "agieval", "arc_easy", "arc_challenge", "boolq", "piqa", "hellaswag", "winogrande", "openbookqa",
)  # fmt: skip

GENERAL_TASKS: tuple[str, ...] = (*_CHOICE_TASKS, "tydiqa", "humaneval", "mbpp")


def general_rows(task: str) -> list[dict[str, object]]:
    """All rows of a general task, in file order.

    Multiple choice: `question`, `choices` (list of str), `answer` (index), and `subject`, `subtask` or `passage` where
    the task has one. tydiqa: `language`, `context`, `question`, `answers`. humaneval: `task_id`, `prompt`, `tests`
    (source of `check(candidate)`), `solution` (the function's body), `entry_point`. mbpp: `task_id`, `prompt` (the
    description), `tests` (list of assertions), `solution` (the whole function), `entry_point`.
    Raises ValueError for an unknown task.
    """
    if task not in GENERAL_TASKS:
        raise ValueError(f"unknown general task {task!r}; expected one of {', '.join(GENERAL_TASKS)}")
    source = resources.files("rho1bench.mini_world").joinpath("rows", f"{task}.jsonl")
    return [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines() if line]
