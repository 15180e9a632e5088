"""What ``rho1bench eval`` leaves of a model that nobody trained, with the data and prompts that are pinned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from eval_folders import write_label

from rho1bench.leaderboard.records.pins import task_pins
from rho1bench.paper.suites import SUITES
from rho1bench.system.files import read_json, sha256_json, write_json

SUITE = "mini_tir7"


def evaluated(folder: Path, label: str, *, seed: int = 0, **record: Any) -> Path:
    """Write what ``rho1bench eval`` leaves of a model on all rows of a suite, with the pinned data and prompts."""
    generator = np.random.default_rng(seed)
    scores = {task: [float(value) for value in generator.random(120) < 0.5] for task in SUITES[SUITE]}
    write_label(
        folder, label, scores, {SUITE: list(scores)}, weights_sha256=f"{seed}" * 64, code_sha256="c" * 64, **record
    )
    path = folder / label / "results.json"
    data = read_json(path)
    for name, task in data["rho1bench"]["tasks"].items():
        ((version, pin),) = task_pins()[name].items()
        task |= pin.model_dump() | {"version": json.loads(version), "verdicts": None}
    write_json(path, rehashed(data))
    return folder / label


def rehashed(data: dict[str, Any]) -> dict[str, Any]:
    """Return results.json with the hash of its content, as an evaluation with other settings writes it."""
    content = {key: value for key, value in data["rho1bench"].items() if key != "sha256"}
    return data | {"rho1bench": content | {"sha256": sha256_json(content)}}
