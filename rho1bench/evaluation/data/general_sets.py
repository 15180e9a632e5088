"""Rows of the general benchmarks: from a local data folder, else from the hub at pinned revisions (paper section 3.3).

The YAMLs of tasks/rho1/general name :func:`splits` as ``custom_dataset`` of lm-eval's own tasks. lm-eval hands it the
place of the task's YAML, which says what the hub calls the data set; a data folder holds ``general/<folder>/<config>/
<split>.jsonl`` in the hub's columns, without ``<config>`` where the hub has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.evaluation.harness.lm_eval_internals import load_task_yaml
from rho1bench.evaluation.harness.lm_eval_types import Doc, Splits
from rho1bench.system.data_root import DATA_VARIABLE, named_folder

EXEMPLARS = "exemplars"
"""A split of rows that are shown with their answers: ``fewshot.jsonl`` of a data folder, else the training rows."""


def splits(config_source: str, folder: str, revisions: Mapping[str, str], **_: object) -> Splits:
    """Return the data sets of a task of lm-eval's by split; raises DataError where they cannot be obtained."""
    config = load_task_yaml(config_source)
    return read_splits(
        folder, config["dataset_path"], config.get("dataset_name"), revisions.get(config["dataset_path"])
    )


def read_splits(folder: str, path: str, name: str | None, revision: str | None) -> Splits:
    """Return the data sets by split: local files where a data folder is named, else the hub's ``path``.

    Raises:
        DataError: a file is missing or broken, or the hub cannot be reached.
    """
    root = named_folder()
    found = _local(root / "general" / folder, path, name) if root else _from_hub(path, name, revision)
    source = "fewshot" if "fewshot" in found else "train"
    return found | ({EXEMPLARS: found[source]} if source in found else {})


def _local(folder: Path, path: str, name: str | None) -> Splits:
    from datasets import Dataset

    place = folder / (name or path.partition("agieval-")[2])
    if not any(place.glob("*.jsonl")):
        place = folder
    files = sorted(place.glob("*.jsonl"))
    if not files:
        raise DataError(
            f"{folder / (name or '')}: no .jsonl files. The folder given by --data-root or {DATA_VARIABLE} should hold "
            "general/<benchmark>/<config>/<split>.jsonl; without it the data are taken from the hub."
        )
    return {file.stem: Dataset.from_list(_read(file)) for file in files}


def _read(file: Path) -> list[Doc]:
    rows: list[Doc] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}:{number}: not a JSON line ({error.msg}).") from error
        if rows and (not isinstance(row, dict) or row.keys() != rows[0].keys()):
            raise DataError(f"{file}:{number}: expected an object with the columns {', '.join(rows[0])}, as in line 1.")
        rows.append(row)
    if not rows:
        raise DataError(f"{file}: no rows.")
    return rows


def _from_hub(path: str, name: str | None, revision: str | None) -> Splits:
    from datasets import load_dataset

    try:
        return dict(load_dataset(path, name, revision=revision))
    except Exception as error:
        raise DataError(
            f"data set {path}{f' ({name})' if name else ''}: cannot be obtained from the hub ({error}). Offline, give "
            f"a local copy: --data-root FOLDER or {DATA_VARIABLE}=FOLDER with general/<benchmark>/ inside."
        ) from error
