"""What a process of a stage does: runs one job and tells of it.

Started by ``stage_children``, or as a rank by ``torchrun``. The job stands on the first line of standard input (a
rank's: in a file); progress, user errors go out through a pipe as JSON lines. It ends when standard input closes, so no
process outlives a killed run.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from rho1bench import errors
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.recipe import Recipe
from rho1bench.system.disk_errors import disk_errors
from rho1bench.system.packages import load, missing_packages
from rho1bench.system.progress import Progress, SilentProgress


class _RelayedProgress(Progress):
    """Progress of a stage in a child: every call becomes one JSON line for the parent."""

    def __init__(self, label: str, events: TextIO) -> None:
        super().__init__(label)
        self._events = events
        self._write_lock = threading.Lock()

    def start(self, total: int, unit: str) -> None:
        self.send("start", [total, unit])

    def update(self, done: int, **fields: str | float | int) -> None:
        self.send("update", [done, fields])

    def message(self, text: str) -> None:
        self.send("message", [text])

    def close(self) -> None:
        self.send("close", [])

    def send(self, event: str, arguments: list[Any], **more: Any) -> None:
        with self._write_lock:
            self._events.write(json.dumps({"event": event, "arguments": arguments, **more}) + "\n")
            self._events.flush()


def _end_with_parent() -> None:
    while os.read(0, 4096):  # unbuffered: a thread inside sys.stdin would spoil the interpreter's exit
        pass
    os._exit(1)


def _events_of_rank() -> int:
    """Return standard output as the pipe to the parent, and give what is printed from now on to standard error."""
    pipe = os.dup(1)
    os.dup2(2, 1)
    return pipe


def main(arguments: Sequence[str] = (), events: int | None = None) -> int:
    """Run the one job that stands in a file, or on standard input's first line; return the exit code.

    ``events`` is the pipe's descriptor where the job does not say it.
    """
    line = Path(arguments[0]).read_text(encoding="utf-8") if arguments else sys.stdin.readline()
    if not line:
        return 1  # the run was stopped before this began
    job = json.loads(line)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    recipe = Recipe.model_validate(job["recipe"])
    folder = Path(job["folder"])
    pipe = events or job["events"] or _events_of_rank()
    with os.fdopen(pipe, "w", encoding="utf-8") as lines:
        progress = _RelayedProgress(job["stage"], lines)
        context = StageContext(
            recipe=recipe,
            stage=recipe.stage(job["stage"]),
            folder=folder,
            inputs={name: Path(path) for name, path in job["inputs"].items()},
            seed=job["seed"],
            progress=progress if os.environ.get("RANK", "0") == "0" else SilentProgress(job["stage"]),
            options=RunOptions(**job["options"]),
        )
        try:
            with disk_errors(folder), missing_packages(f"the stage {job['stage']!r}"):
                load(job["target"])(context)
        except errors.UserError as error:
            progress.send("error", [str(error)], type=type(error).__name__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
