"""Runs stages in child processes: stages that do not need each other side by side, or one stage in several ranks.

The runner's second way of carrying out a stage: CLM and SLM of one recipe, say, on two CPU cores, or one training stage
on eight GPUs (``torchrun``). A child reads its job from standard input (a rank: from a file) and reports progress and
user errors through a pipe as JSON lines; it ends when standard input closes, so no child outlives a killed run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from rho1bench import errors
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.pipeline.torchrun import launch_command, launch_failure
from rho1bench.recipe import Distributed, Recipe
from rho1bench.system.disk_errors import disk_errors
from rho1bench.system.packages import load, missing_packages
from rho1bench.system.progress import Progress, SilentProgress


class Children:
    """The child processes of one group of stages."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        self._stopped = False

    def run_stage(self, context: StageContext, target: str) -> None:
        """Run the stage function ``target`` (``"module:function"``) on ``context`` in a child and wait for it.

        A stage with ``distributed:`` runs in several. Raises the ``UserError`` that a child raised, ``RunError`` if a
        signal ended a rank, ``RuntimeError`` for what failed in another way.
        """
        distributed = context.stage.ranks()
        if distributed is not None:
            self._run_ranks(context, target, distributed)
            return
        reading, writing = os.pipe()
        with os.fdopen(reading, encoding="utf-8") as events:
            try:
                process = self._start([sys.executable, "-m", "rho1bench.pipeline.stage_process"], pass_fds=(writing,))
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

    def _run_ranks(self, context: StageContext, target: str, distributed: Distributed) -> None:
        with tempfile.TemporaryDirectory(prefix="rho1bench-") as folder:
            job, log = Path(folder) / "job.json", Path(folder) / "log.txt"
            job.write_text(_job(context, target, None), encoding="utf-8")
            command = launch_command(context.stage.name, distributed, job)
            with log.open("w") as stderr:
                process = self._start(command, stdout=subprocess.PIPE, stderr=stderr)
                assert process.stdout is not None
                assert process.stdin is not None
                with process.stdout:
                    failure = _relay(process.stdout, context.progress)
                code = process.wait()
                process.stdin.close()
            if failure is not None:
                raise failure
            if code != 0:
                raise launch_failure(context.stage.name, log.read_text(errors="replace"))

    def stop(self) -> None:
        """Kill every child; the stages go on from their resume points when the run is started again."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                if process.poll() is None:
                    process.kill()
                    if process.stdin is not None:
                        process.stdin.close()  # ranks are grandchildren, and end by this

    def _start(self, command: list[str], **pipes: Any) -> subprocess.Popen[str]:
        with self._lock:
            if self._stopped:
                raise errors.RunError("stopped before the stage began")
            process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, encoding="utf-8", **pipes)
            self._processes.append(process)
        return process


def run_all(tasks: Sequence[Callable[[], Any]], children: Children, at_a_time: int) -> list[Any]:
    """Call ``tasks`` in threads, some at a time; return their results in order. The first failure stops them all."""
    with ThreadPoolExecutor(max_workers=at_a_time) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = next((future for future in futures if future in done and future.exception()), None)
            if failed is not None:
                failed.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()
            raise
        return [future.result() for future in futures]


def _job(context: StageContext, target: str, events: int | None) -> str:
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


def _relay(events: Iterable[str], progress: Progress) -> Exception | None:
    """Show the children's progress until their pipe closes; return the first user error that they reported."""
    failure: Exception | None = None
    for line in events:
        if not line.startswith("{"):
            continue  # a rank's pipe is its standard output, where a library may print before we take it
        event = json.loads(line)
        name, arguments = event["event"], event["arguments"]
        if name == "error":
            failure = failure or _user_error(event["type"], arguments[0])
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


def _events_of_rank() -> int:
    """Return standard output as the pipe to the parent, and give what is printed from now on to standard error."""
    pipe = os.dup(1)
    os.dup2(2, 1)
    return pipe


def main(arguments: Sequence[str] = ()) -> int:
    """Run the one job that stands in a file, or on standard input's first line; return the exit code."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8") if arguments else sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    recipe = Recipe.model_validate(job["recipe"])
    folder = Path(job["folder"])
    pipe = _events_of_rank() if job["events"] is None else job["events"]
    with os.fdopen(pipe, "w", encoding="utf-8") as events:
        progress = _RelayedProgress(job["stage"], events)
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
