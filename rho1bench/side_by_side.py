"""Runs stages that do not need each other at the same time, each in a process of its own.

The runner's second way of carrying out a stage: CLM and SLM of one recipe, say, on two CPU cores. The child reads its
job from standard input and reports progress and user errors through a pipe as JSON lines; it ends when standard input
closes, so no child outlives a killed run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from rho1bench import errors
from rho1bench.disk import disk_errors
from rho1bench.importing import load, missing_packages
from rho1bench.progress import Progress
from rho1bench.recipe import Recipe
from rho1bench.stage import RunOptions, StageContext


class Children:
    """The child processes of one group of stages."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        self._stopped = False

    def run_stage(self, context: StageContext, target: str) -> None:
        """Run the stage function ``target`` (``"module:function"``) on ``context`` in a child and wait for it.

        Raises the ``UserError`` that the child raised, ``RuntimeError`` if it failed in another way.
        """
        reading, writing = os.pipe()
        with os.fdopen(reading, encoding="utf-8") as events:
            try:
                process = self._start(writing)
            finally:
                os.close(writing)
            assert process.stdin is not None
            process.stdin.write(_job(context, target, writing) + "\n")
            process.stdin.flush()
            failure = _relay(events, context.progress)
            code = process.wait()
            process.stdin.close()
        if failure is not None:
            raise failure
        if code != 0:
            raise RuntimeError(f"the process of stage {context.stage.name!r} ended with code {code}")

    def stop(self) -> None:
        """Kill every child; the stages go on from their resume points when the run is started again."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                if process.poll() is None:
                    process.kill()

    def _start(self, writing: int) -> subprocess.Popen[str]:
        with self._lock:
            if self._stopped:
                raise errors.RunError("stopped before the stage began")
            process = subprocess.Popen(
                [sys.executable, "-m", "rho1bench.side_by_side"],
                stdin=subprocess.PIPE,
                pass_fds=(writing,),
                text=True,
                encoding="utf-8",
            )
            self._processes.append(process)
        return process


def run_all(tasks: Sequence[Callable[[], Any]], children: Children) -> list[Any]:
    """Call ``tasks`` in threads and return their results in order; the first failure stops all children."""
    with ThreadPoolExecutor(max_workers=len(tasks)) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = next((future for future in futures if future in done and future.exception()), None)
            if failed is not None:
                failed.result()
        except BaseException:
            children.stop()
            raise
        return [future.result() for future in futures]


def _job(context: StageContext, target: str, events: int) -> str:
    return json.dumps(
        {
            "target": target,
            "events": events,
            "recipe": context.recipe.model_dump(mode="json"),
            "stage": context.stage.name,
            "folder": str(context.folder),
            "inputs": {name: str(path) for name, path in context.inputs.items()},
            "seed": context.seed,
            "options": asdict(context.options),
        }
    )


def _relay(events: TextIO, progress: Progress) -> Exception | None:
    """Show the child's progress until its pipe closes; return the user error that it reported."""
    failure: Exception | None = None
    for line in events:
        event = json.loads(line)
        name, arguments = event["event"], event["arguments"]
        if name == "error":
            failure = _user_error(event["type"], arguments[0])
        elif name == "update":
            progress.update(arguments[0], **arguments[1])
        else:
            getattr(progress, {"start": "start", "message": "message", "close": "close"}[name])(*arguments)
    return failure


def _user_error(name: str, message: str) -> errors.UserError:
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, errors.UserError)):
        kind = errors.UserError
    error = kind.__new__(kind)
    errors.UserError.__init__(error, message)  # the message is whole already, whatever the kind's own arguments are
    return error


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


def main() -> int:
    """Run the one job that stands on standard input's first line; return the exit code."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    recipe = Recipe.model_validate(job["recipe"])
    folder = Path(job["folder"])
    with os.fdopen(job["events"], "w", encoding="utf-8") as events:
        progress = _RelayedProgress(job["stage"], events)
        context = StageContext(
            recipe=recipe,
            stage=recipe.stage(job["stage"]),
            folder=folder,
            inputs={name: Path(path) for name, path in job["inputs"].items()},
            seed=job["seed"],
            progress=progress,
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
    sys.exit(main())
