"""What a process of a stage does: runs one job and tells of it.

Started by ``stage_children``, or as a rank by ``torchrun``. The job stands on the first line of standard input (a
rank's: in a file of the stage's folder, which all nodes share); progress and user errors go out through a pipe as JSON
lines. Where standard input is a pipe the process ends when it closes, so none outlives a killed run, and any other line
on it is the wish to stop (``stopping``). Elsewhere (``/dev/null``) it is not watched.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from rho1bench import errors
from rho1bench.pipeline import stopping
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.recipe import Recipe
from rho1bench.system.disk_errors import disk_errors
from rho1bench.system.packages import load, missing_packages
from rho1bench.system.progress import Progress, SilentProgress

ASK_TO_STOP = b"stop\n"
STOPPED = '{"event": "stopped"'
"""How the line begins by which a process says that it was asked to stop and does."""
SECONDS_UNTIL_SHARED = 30.0
"""How long a rank looks for its job: a network disk shows new files of other machines late."""


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


def _obey_the_runner(progress: _RelayedProgress, asked: bytes) -> None:
    """Stop when asked to (``asked``: what has been read already), and end with the pipe from the runner."""

    def end() -> None:
        progress.send("stopped", [])
        os._exit(0)

    if asked:
        stopping.ask(end)
    while os.read(0, 4096):  # unbuffered: a thread inside sys.stdin would spoil the interpreter's exit
        stopping.ask(end)
    os._exit(1)


def _end_on(number: int) -> None:
    """Stop on a signal that did not come through the runner: training saves first, all else dies of it as ever."""
    ending = lambda: os._exit(128 + number)  # noqa: E731 - os._exit is typed to return nothing, not None
    signal.signal(number, lambda *_: threading.Thread(target=stopping.ask, args=(ending,)).start())


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _first_line() -> tuple[bytes, bytes]:
    """Return the first line of standard input, empty where it has ended, and what has been read beyond it."""
    found = b""
    while b"\n" not in found and (part := os.read(0, 1 << 16)):  # unbuffered: the rest is for who watches the pipe
        found += part
    line, _, rest = found.partition(b"\n")
    return line, rest


def _events_of_rank() -> int:
    """Return standard output as the pipe to the parent, and give what is printed from now on to standard error."""
    pipe = os.dup(1)
    os.dup2(2, 1)
    return pipe


def main(arguments: Sequence[str] = (), events: int | None = None) -> int:
    """Run one job and return the exit code.

    Args:
        arguments: of a rank: the file of the job and the word that has to stand in it; else the job is the first line
            of standard input.
        events: the descriptor of the pipe, where the job does not say it.
    """
    rest = b""
    if arguments:
        pipe = _events_of_rank()
        job = _shared_job(Path(arguments[0]), arguments[1], pipe)
        if job is None:
            return 2
    else:
        line, rest = _first_line()
        if not line:
            return 1  # the run was stopped before this began
        job = json.loads(line)
        pipe = events or job["events"]
    with suppress(OSError):  # on another node: only what the recipe names by relative paths would miss it
        os.chdir(job["cwd"])
    with os.fdopen(pipe, "w", encoding="utf-8") as lines:
        progress = _RelayedProgress(job["stage"], lines)
        if _is_pipe(0):
            threading.Thread(target=_obey_the_runner, args=(progress, rest), daemon=True).start()
        for number in stopping.SIGNALS:
            _end_on(number)
        return _carry_out(job, progress)


def _carry_out(job: dict[str, Any], progress: _RelayedProgress) -> int:
    recipe, folder = Recipe.model_validate(job["recipe"]), Path(job["folder"])
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
    except errors.Stopped:
        progress.send("stopped", [])
    return 0


def _shared_job(path: Path, nonce: str, pipe: int) -> dict[str, Any] | None:
    """Return the job that stands in a file of the run folder; tells through the pipe, and returns None, if it does not.

    The nonce makes sure that it is this launch's file: a node may have another disk under the same path.
    """
    end = time.monotonic() + SECONDS_UNTIL_SHARED
    while True:
        job: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if job.get("nonce") == nonce:
            return job
        if time.monotonic() > end:
            break
        time.sleep(0.5)
    words = (
        f"rank {os.environ.get('RANK', '?')} on {socket.gethostname()} does not see {path} as the first node wrote it. "
        "The run folder has to be on a disk that all nodes share, under the same path: give such a one with --output."
    )
    event = {"event": "error", "arguments": [words], "type": "RunError"}
    os.write(pipe, (json.dumps(event) + "\n").encode())
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
