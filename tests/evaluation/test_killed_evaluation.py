"""An evaluation killed ten times at random asks for one batch again each time at most, and gives equal answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import killed_worker
import pytest

from rho1bench.system.files import read_json, read_jsonl


@pytest.mark.sweep
def test_ten_kills_cost_a_batch_each_at_most(
    checkpoints: dict[str, Path], prompts: list[dict[str, Any]], process_environment: dict[str, str], tmp_path: Path
):
    some = prompts[:96:2]
    (tmp_path / "task.json").write_text(json.dumps({"checkpoint": str(checkpoints["late"]), "prompts": some}))
    command = [sys.executable, killed_worker.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=process_environment)
    assert done.returncode == 0, done.stderr[-3000:]
    report = read_json(tmp_path / "report.json")

    whole = report["straight"]
    assert whole == {"ended": 0, "asked": 2 * len(some), "added": 2 * len(some)}
    kills = report["kills"]
    assert [kill["ended"] for kill in kills] == [-9] * killed_worker.NUM_KILLS
    lost = [kill["asked"] - kill["added"] for kill in kills]
    assert all(0 <= again <= killed_worker.BATCH for again in lost), lost
    assert sum(again > 0 for again in lost) >= 8, "hardly a kill fell into the middle of a batch"
    assert sum(kill["added"] > 0 for kill in kills) >= 5, "hardly a kill came after the first batch"
    assert report["last"]["ended"] == 0
    assert report["last"]["asked"] == report["last"]["added"]

    straight, killed = (read_json(tmp_path / name / "ended.json")["answers"] for name in ("straight", "killed"))
    assert straight == killed
    keys = [[row["key"] for row in read_jsonl(tmp_path / name / "answers.jsonl")] for name in ("straight", "killed")]
    assert sorted(keys[0]) == sorted(keys[1])
    assert len(set(keys[0])) == len(keys[0]) == whole["added"]
