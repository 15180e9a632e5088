"""A record as ``.eval_results/*.yaml``: scores that the Hugging Face hub shows on a model's page.

Used by ``rho1bench leaderboard card``. The hub shows a score on the page of the model and on that of the data set,
where that is registered as a benchmark; the form is that of ``huggingface_hub.EvalResultEntry``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from rho1bench.errors import DataError
from rho1bench.leaderboard.records.record import Record
from rho1bench.system.files import write_text

HUB_SETS: Mapping[str, tuple[str, str]] = {
    "gsm8k": ("openai/gsm8k", "main"),
    "mmlu": ("cais/mmlu", "all"),
    "arc_easy": ("allenai/ai2_arc", "ARC-Easy"),
    "arc_challenge": ("allenai/ai2_arc", "ARC-Challenge"),
    "boolq": ("google/boolq", "default"),
    "piqa": ("ybisk/piqa", "default"),
    "hellaswag": ("Rowan/hellaswag", "default"),
    "winogrande": ("allenai/winogrande", "winogrande_xl"),
    "openbookqa": ("allenai/openbookqa", "main"),
    "humaneval": ("openai/openai_humaneval", "default"),
    "mbpp": ("google-research-datasets/mbpp", "full"),
}
"""Data set and config of the hub by test set. The id of a task is the config's name unless the data set's own
``eval.yaml`` says another one, which nobody can look up offline: ``--dataset`` gives it."""
FOLDER = ".eval_results"


def read_datasets(settings: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return what ``TASK=DATASET:TASK_ID`` texts say by task; raises DataError for another form."""
    found = {}
    for text in settings:
        task, _, place = text.partition("=")
        dataset, _, task_id = place.partition(":")
        if not (task and task_id and dataset.count("/") == 1):
            raise DataError(f"--dataset {text}: expected TASK=OWNER/DATASET:TASK_ID, as in its eval.yaml on the hub.")
        found[task] = (dataset, task_id)
    return found


def eval_results(record: Record, datasets: Mapping[str, tuple[str, str]]) -> list[dict[str, object]]:
    """Return the entries of a record's tasks that are data sets of the hub, ``datasets`` first.

    Raises DataError for a record of a part of the documents, for a task that it has not, and where nothing is left.
    """
    if record.limit is not None:
        raise DataError(f"{record.id}: is of {record.limit} documents a task; a model's page shows whole test sets.")
    if unknown := sorted(datasets.keys() - record.tasks.keys()):
        raise DataError(f"--dataset {unknown[0]}: {record.id} has no such task; it has {', '.join(record.tasks)}.")
    places = {task: place for task in record.tasks if (place := datasets.get(task) or _of_hub(task)) is not None}
    if not places:
        raise DataError(
            f"{record.id}: none of its tasks is a data set of the hub; --dataset TASK=OWNER/NAME:ID says so."
        )
    return [_entry(record, task, *place) for task, place in places.items()]


def _of_hub(task: str) -> tuple[str, str] | None:
    if not task.startswith("rho1_"):
        return None  # the mini world is on no hub
    return HUB_SETS.get(task.removeprefix("rho1_").removesuffix("_cot").removesuffix("_tir"))


def _entry(record: Record, task: str, dataset: str, task_id: str) -> dict[str, object]:
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    found = record.tasks[task]
    low, high = (100 * bound for bound in found.ci)
    notes = (
        f"{task}, {found.metric}, n = {found.n}, 95% interval {low:.1f} to {high:.1f}; "
        f"rho1bench {record.suite}, grader {record.evaluation.grader}, record {record.sha256[:12]}"
    )
    entry = EvalResultEntry(dataset_id=dataset, task_id=task_id, value=round(100 * found.score, 2), notes=notes)
    return dict(eval_result_entries_to_yaml([entry])[0])


def write_card(record: Record, folder: Path, datasets: Mapping[str, tuple[str, str]]) -> Path:
    """Write the entries into ``folder``/.eval_results; returns the file."""
    path = folder / FOLDER / f"{record.suite}.yaml"
    write_text(path, yaml.safe_dump(eval_results(record, datasets), sort_keys=False, allow_unicode=True, width=120))
    return path
