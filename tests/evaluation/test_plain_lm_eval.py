"""Our way to a score beside plain lm-eval's: its own task, its own model, the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest

from rho1bench.evaluation.answer_cache import AnswerCache
from rho1bench.evaluation.cached_model import CachedModel
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import EngineSettings
from rho1bench.evaluation.engines.hf import HFEngine
from rho1bench.evaluation.harness.lm_eval_tasks import Tasks, run_unit

LIMIT = 40

FILES = {
    "arc_challenge": ("arc", {split: f"arc/ARC-Challenge/{split}.jsonl" for split in ("train", "validation", "test")}),
    "hellaswag": (
        "hellaswag",
        {"train": "hellaswag/fewshot.jsonl", "validation": "hellaswag/validation.jsonl"},
    ),
    "winogrande": (
        "winogrande",
        {split: f"winogrande/winogrande_xl/{split}.jsonl" for split in ("train", "validation")},
    ),
}
"""lm-eval's folder of the task, and its splits in the reference data."""


def plain_results(name: str, folder: Path, checkpoint: Path, cache: Path, limit: int = LIMIT) -> dict[str, Any]:
    """Evaluate lm-eval's task ``name`` with nothing of ours."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    place, files = FILES[name]
    options = {"data_files": {split: str(folder / file) for split, file in files.items()}, "cache_dir": str(cache)}
    override = {"task": name, "dataset_path": "json", "dataset_name": None, "dataset_kwargs": options}
    manager = TaskManager(include_path=str(Path(lm_eval.tasks.__file__).parent / place), include_defaults=False)
    found = simple_evaluate(
        model=HFLM(str(checkpoint), dtype="float32", device="cpu", batch_size=8),
        tasks=[{"group": "plain", "task": [override]}],
        task_manager=manager,
        limit=limit,
        bootstrap_iters=0,
        num_fewshot=0,
    )
    assert found is not None
    return dict(found)


@pytest.mark.parametrize("name", ["arc_challenge", "winogrande"])
def test_loglikelihood_tasks_agree(
    name: str,
    checkpoints: dict[str, Path],
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    plain = plain_results(name, shared_data / "data" / "general", checkpoints["late"], tmp_path / "cache")
    monkeypatch.setenv("RHO1BENCH_DATA", str(shared_data / "data"))
    engine = HFEngine(EngineSettings(max_model_len=256, batch_size=8, log=tmp_path / "log"))
    checkpoint = Checkpoint("late", checkpoints["late"], "late")
    model = CachedModel(engine, checkpoint, AnswerCache(tmp_path, {}))
    ours = run_unit(model, Tasks().load([f"rho1_{name}"]), LIMIT).results
    theirs = plain["results"][name]
    metrics = [key for key in theirs if key.endswith(",none") and "stderr" not in key]
    assert metrics
    for key in metrics:
        assert ours["results"][name][key] == pytest.approx(theirs[key], abs=5e-5)
    assert len(ours["samples"][name]) == len(plain["samples"][name]) == LIMIT
    for left, right in zip(ours["samples"][name], plain["samples"][name], strict=True):
        assert left["arguments"] == right["arguments"]
        values = [[float(response[0][0]) for response in row["resps"]] for row in (left, right)]
        assert values[0] == pytest.approx(values[1], abs=1e-4)
