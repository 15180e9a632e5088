"""Training on an intersection or union of selections (table 4): the divisor is what was kept, however it is split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import world

from rho1bench.system.files import read_jsonl
from rho1bench.system.progress import SilentProgress

BOTH = [{"score": "reference_loss", "ratio": 0.7}, {"score": "reference_entropy", "ratio": 0.7}]
WITH_LOSSES = [{"score": "excess_loss", "ratio": 0.7}, {"score": "reference_entropy", "ratio": 0.7}]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(folder / "metrics.jsonl") if "loss" in row]


@pytest.mark.parametrize(("kind", "parts"), [("all_of", BOTH), ("any_of", BOTH), ("all_of", WITH_LOSSES)])
def test_one_batch_is_many_micro_batches(kind: str, parts: Any, shared: Path, tmp_path: Path) -> None:
    selection = {kind: parts, "token_scores": "scores"}
    stages = [
        *world.scored(),
        world.pretrain("whole", selection=selection, max_steps=4),
        world.pretrain("split", selection=selection, max_steps=4, micro_batch_size=2),
    ]
    out = world.link_shared(shared, tmp_path)
    folders = world.run_stages(stages, out, only=["whole", "split"])
    whole, split = rows(folders["whole"]), rows(folders["split"])
    assert len(whole) == len(split) == 2
    for one, other in zip(whole, split, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["select_ratio"] == other["select_ratio"]
        low, high = (0.4, 0.7) if kind == "all_of" else (0.7, 1.0)
        assert low - 0.01 < one["select_ratio"] < high
        assert one["threshold"] is None
    assert ("pre_pass_seconds" in split[0]) == (parts is WITH_LOSSES)


def test_the_cost_of_ranking_over_the_whole_step_is_told_once(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(SilentProgress, "message", lambda self, text: told.append(text))
    stages = [*world.scored(), world.pretrain("slm", selection=world.SELECTION, micro_batch_size=4)]
    folders = world.run_stages(stages, world.link_shared(shared, tmp_path), only=["slm"])
    assert len([text for text in told if "score-only pass" in text and "%" in text]) == 1
    assert all(row["pre_pass_seconds"] > 0 for row in rows(folders["slm"]))
