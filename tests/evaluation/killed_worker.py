"""Run by a test in a process of its own: one evaluation killed at random model steps, again and again, and one whole.

Each attempt is a fork of this process, which holds the model, and kills itself with SIGKILL as a forward pass begins.
``report.json`` says what each attempt asked of the model and what it left in the answer cache.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rho1bench.evaluation import cached_model
from rho1bench.evaluation.answer_cache import AnswerCache
from rho1bench.evaluation.cached_model import CachedModel
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import EngineSettings, Request, hf
from rho1bench.system.files import read_jsonl, write_json

BATCH = 4
NUM_KILLS = 10


class MortalEngine(hf.HFEngine):
    """Loads its model once for all forks, counts forward passes, and is killed in the one called ``kill_at``."""

    kill_at = 0
    steps = 0

    def load(self, checkpoint: Checkpoint) -> None:
        if not self.boots:
            super().load(checkpoint)
            self.lm.model.register_forward_pre_hook(self._step)

    def _step(self, *_: object) -> None:
        self.steps += 1
        if self.steps == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def evaluate(engine: MortalEngine, checkpoint: Checkpoint, folder: Path, prompts: list[dict[str, Any]]) -> None:
    """Answer all requests, or die; ``asked`` gets a byte for each request as the model gets it."""
    asked = os.open(folder / "asked", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    rows, score = hf.decoded_rows, CachedModel._score

    def logged_rows(model: Any, codec: Any, prompts: list[list[int]], *more: Any) -> Iterator[Any]:
        os.write(asked, b"." * len(prompts))
        return rows(model, codec, prompts, *more)

    def logged_score(self: CachedModel, pairs: Any) -> Any:
        os.write(asked, b"." * len(pairs))
        return score(self, pairs)

    hf.decoded_rows, hf.BATCH_SIZE = logged_rows, BATCH
    CachedModel._score, cached_model.LOGLIKELIHOOD_BATCH = logged_score, BATCH  # type: ignore[method-assign]
    model = CachedModel(engine, checkpoint, AnswerCache(folder, {}))
    requests = [Request(row["prompt"], tuple(row["until"]), 6) for row in prompts]
    pairs: Any = [
        SimpleNamespace(args=(row["prompt"], " The answer is 7."), task_name="t", doc_id=number)
        for number, row in enumerate(prompts)
    ]
    completions = model.complete(requests, lambda _: None)
    values = model.loglikelihoods(pairs, lambda _: None)
    answers = [[one.text, one.finish_reason, one.num_tokens] for one in completions] + [[one.value] for one in values]
    write_json(folder / "ended.json", {"answers": answers, "steps": engine.steps})


def attempt(
    engine: MortalEngine, checkpoint: Checkpoint, folder: Path, prompts: list[dict[str, Any]], kill_at: int = 0
) -> dict[str, int]:
    """Evaluate in a fork; return how it ended, what it asked of the model, and how many answers it added."""
    before = count(folder)
    child = os.fork()
    if child == 0:
        engine.kill_at = kill_at
        try:
            evaluate(engine, checkpoint, folder, prompts)
        finally:
            os._exit(0 if (folder / "ended.json").exists() else 1)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    after = count(folder)
    return {"ended": ended, "asked": after[0] - before[0], "added": after[1] - before[1]}


def count(folder: Path) -> tuple[int, int]:
    """Return how many requests the model got so far, and how many whole answers there are."""
    asked, answers = folder / "asked", folder / "answers.jsonl"
    return (asked.stat().st_size if asked.exists() else 0), (len(read_jsonl(answers)) if answers.exists() else 0)


def main(folder: Path) -> None:
    task = json.loads((folder / "task.json").read_text())
    straight, killed = folder / "straight", folder / "killed"
    straight.mkdir()
    killed.mkdir()
    checkpoint, prompts = Checkpoint("late", Path(task["checkpoint"]), "late"), task["prompts"]
    engine = MortalEngine(EngineSettings(max_model_len=256, batch_size=None, log=folder / "log", num_threads=1))
    engine.load(checkpoint)
    report: dict[str, Any] = {"straight": attempt(engine, checkpoint, straight, prompts)}
    steps = json.loads((straight / "ended.json").read_text())["steps"]
    chance = random.Random(0)
    report["kills"] = [
        attempt(engine, checkpoint, killed, prompts, chance.randint(1, steps // 6)) for _ in range(NUM_KILLS)
    ]
    report["last"] = attempt(engine, checkpoint, killed, prompts)
    write_json(folder / "report.json", report)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
