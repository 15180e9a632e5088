"""Scoring in forks of a process that has torch: one that dies, and two that share the work."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from rho1bench.selection.stage import ScoreOptions, score
from rho1bench.system.progress import SilentProgress


def run(corpus: str, output: str, model: str) -> None:
    """Score the corpus of the tests, with the options of their world."""
    options = ScoreOptions(Path(corpus), Path(output), model, batch_size=3, shard_tokens=64, num_threads=1)
    score(options, SilentProgress())


def run_and_die(corpus: str, output: str, model: str) -> None:
    """The same, but a SIGKILL ends it with half of its third shard on disk."""
    save, calls = np.save, 0

    def torn(handle: Any, scores: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            handle.write(b"half of a shard")
            handle.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        save(handle, scores, **options)

    np.save = torn
    run(corpus, output, model)


def run_in_two(corpus: str, output: str, model: str, port: int) -> None:
    """Score in two processes with the environment that ``accelerate launch`` gives them."""
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    children = []
    for rank in range(2):
        children.append(os.fork())
        if children[-1] == 0:
            os.environ.update(group, RANK=str(rank), LOCAL_RANK=str(rank))
            run(corpus, output, model)
            os._exit(0)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0]
