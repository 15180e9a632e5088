"""Tasks that do not ship with rho1bench: YAMLs in a folder of the user's, and lm-eval's own ones by name.

lm-eval passes over a YAML that it cannot read; here it is told. The rows of lm-eval's own tasks come from the data
folder where it holds them (``general/<data set>/``), else from the hub.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

from rho1bench.errors import RunError
from rho1bench.evaluation.data.general_sets import EXEMPLARS, read_splits
from rho1bench.evaluation.harness.lm_eval_internals import load_task_yaml, task_index
from rho1bench.evaluation.harness.lm_eval_types import Splits, TaskEntry, TaskManager
from rho1bench.paper.suites import lm_eval_file
from rho1bench.system.data_root import named_folder
from rho1bench.system.files import sha256_file, sha256_json

Index = MutableMapping[str, TaskEntry]
_SUPPORTED = ("generate_until", "multiple_choice", "loglikelihood")
_FOLDERS = {"allenai/ai2_arc": "arc", "EleutherAI/hendrycks_math": "hendrycks_math", "cais/mmlu": "mmlu"}
"""Folders of the data folder that are not called as the data set on the hub is, in lower case."""


def read_folder(folder: Path) -> dict[str, TaskEntry]:
    """Return the tasks and groups of a folder by name; raises RunError where there is none, or a YAML is broken."""
    import lm_eval.tasks

    if not folder.is_dir():
        raise RunError(f"--include-path {folder}: no such folder; it should hold lm-eval's task YAMLs.")
    for path in sorted(folder.rglob("*.yaml")):
        _check_yaml(path)
    manager: TaskManager = lm_eval.tasks.TaskManager(include_path=str(folder), include_defaults=False)
    found = {name: entry for name, entry in task_index(manager).items() if entry.cfg}
    if not found:
        raise RunError(f"--include-path {folder}: holds no YAML with a key task: or group: (lm-eval's task format).")
    return found


def _check_yaml(path: Path) -> None:
    try:
        content = load_task_yaml(path)
    except Exception as error:  # a YAML may name another one, or none
        raise RunError(f"{path}: cannot be read as a task: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path}: expected keys and values (lm-eval's task format), found {type(content).__name__}.")


def folder_sha256(folder: Path) -> str:
    """Return the hash of the YAMLs and the code in a folder of tasks."""
    files = sorted(path for pattern in ("*.yaml", "*.py") for path in folder.rglob(pattern))
    return sha256_json({path.relative_to(folder).as_posix(): sha256_file(path) for path in files})


def lm_eval_entries(name: str) -> Index:
    """Return the tasks in the folder of lm-eval's own task or group ``name``; none where lm-eval has none of it."""
    import lm_eval.tasks

    path = lm_eval_file(name)
    if path is None:
        return {}
    home = Path(lm_eval.tasks.__file__).parent
    folder = home / path.relative_to(home).parts[0]
    manager: TaskManager = lm_eval.tasks.TaskManager(include_path=str(folder), include_defaults=False)
    return task_index(manager)


def members(name: str, index: Index) -> list[str]:
    """Return the single tasks of a group, those of its subgroups included.

    Raises RunError for a member with settings of its own: lm-eval knows it by no name.
    """
    found: list[str] = []
    for member in (index[name].cfg or {}).get("task") or []:
        if not isinstance(member, str) or member not in index:
            raise RunError(
                f"the group {name!r} has a member with settings of its own ({member!r:.80}); name tasks one by one."
            )
        entry = index[member].cfg or {}
        found += members(member, index) if "group" in entry else [member]
    return found


def local_rows(config: dict[str, Any]) -> dict[str, Any]:
    """Return what makes lm-eval read a task's rows from the data folder; nothing where it does not hold them."""
    root, path, name = named_folder(), str(config.get("dataset_path") or ""), config.get("dataset_name")
    folder = _FOLDERS.get(path, path.rpartition("/")[2].lower())
    if root is None or not folder or not (root / "general" / folder).is_dir() or config.get("custom_dataset"):
        return {}
    found = _rows(folder, path, name)
    missing = [key for key in ("training_split", "fewshot_split") if config.get(key) and config[key] not in found]
    return {"custom_dataset": partial(_rows, folder, path, name), **dict.fromkeys(missing)}


def _rows(folder: str, path: str, name: str | None, **_: object) -> Splits:
    """Return the splits of a data folder; exemplars of their own stand for training rows that it does not hold."""
    found = read_splits(folder, path, name, None)
    return ({"train": found[EXEMPLARS]} if EXEMPLARS in found else {}) | found


def check_kind(name: str, task: Any) -> None:
    """Raise RunError for a task that no engine here can answer, or whose score is no mean over documents."""
    if task.OUTPUT_TYPE not in _SUPPORTED:
        raise RunError(
            f"the task {name!r} is of output_type {task.OUTPUT_TYPE}; expected {', '.join(_SUPPORTED)}. Bits per byte "
            "of texts are measured with --suite corpus:FOLDER."
        )
    if task.get_config("unsafe_code"):
        raise RunError(
            f"the task {name!r} runs programs that a model wrote, and not in the sandbox (unsafe_code). "
            "rho1_humaneval and rho1_mbpp do the same inside it."
        )
    listed = task.get_config("metric_list") or []
    aggregation = listed[0].get("aggregation", "mean") if listed else "mean"
    if aggregation != "mean":
        raise RunError(
            f"the task {name!r}: its first metric, {listed[0]['metric']!r}, is aggregated by {aggregation!r}; a score "
            "here is a mean over documents. List a metric with aggregation: mean first."
        )
