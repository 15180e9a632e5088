"""Scoring that dies by SIGKILL with half of its third shard on disk."""

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
    score(
        ScoreOptions(Path(corpus), Path(output), model, batch_size=3, shard_tokens=64, num_threads=1), SilentProgress()
    )
