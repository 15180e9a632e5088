"""Runs stages in child processes: stages that do not need each other side by side, or one stage in several ranks.

The runner's second way of carrying out a stage: CLM and SLM of one recipe, say, on two CPU cores, or one training stage
on eight GPUs (``torchrun``). A child gets its job as one line of JSON and answers with JSON lines (``stage_process``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from rho1bench import errors
from rho1bench.pipeline.stage import StageContext
from rho1bench.pipeline.stage_forks import StageForks, may_fork
from rho1bench.pipeline.torchrun import launch_command, launch_failure
from rho1bench.recipe import Distributed
from rho1bench.system.progress import Progress

_Outcome = tuple[Exception | None, int | None]
"""The user error that a child reported, and its exit code (``None``: not told by itself)."""


class Children:
    """The child processes of one run. As a context manager it leaves none behind."""

    def __init__(self) -> None:
        self._forks = StageForks()
        self._stops: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._forks.close()

    def run_stage(self, context: StageContext, target: str) -> None:
        """Run the stage function ``target`` (``"module:function"``) on ``context`` in a child and wait for it.

        A stage with ``distributed:`` runs in several. Raises the ``UserError`` that a child raised, ``RunError`` if a
        signal ended a rank, ``RuntimeError`` for what failed in another way.
        """
        distributed = context.stage.ranks()
        if distributed is not None:
            self._run_ranks(context, target, distributed)
            return
        failure, code = (self._fork if may_fork() else self._run)(context, target)
        if failure is not None:
            raise failure
        if code != 0:
            raise RuntimeError(f"the process of stage {context.stage.name!r} ended with code {code}")

    def _fork(self, context: StageContext, target: str) -> _Outcome:
        reading, writing = os.pipe()
        job_reading, job_writing = os.pipe()
        with os.fdopen(reading, encoding="utf-8") as events, os.fdopen(job_writing, "wb", buffering=0) as job:
            try:
                with self._starting():
                    self._forks.start(target.partition(":")[0], (job_reading, writing))
                    self._stops.append(job.close)
            finally:
                os.close(writing)
                os.close(job_reading)
            line = memoryview((_job(context, target, None) + "\n").encode())
            with suppress(OSError, ValueError):  # stopped, or nobody reads: the outcome says so
                while line:
                    line = line[job.write(line) :]
            return _relay(events, context.progress)

    def _run(self, context: StageContext, target: str) -> _Outcome:
        reading, writing = os.pipe()
        with os.fdopen(reading, encoding="utf-8") as events:
            try:
                process = self._start([sys.executable, "-m", "rho1bench.pipeline.stage_process"], pass_fds=(writing,))
            finally:
                os.close(writing)
            assert process.stdin is not None
            process.stdin.write(_job(context, target, writing) + "\n")
            process.stdin.flush()
            failure, _ = _relay(events, context.progress)
            code = process.wait()
            process.stdin.close()
        return failure, code

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
                    failure, _ = _relay(process.stdout, context.progress)
                code = process.wait()
                process.stdin.close()
            if failure is not None:
                raise failure
            if code != 0:
                raise launch_failure(context.stage.name, log.read_text(errors="replace"))

    def stop(self) -> None:
        """End every child; the stages go on from their resume points when the run is started again."""
        with self._lock:
            self._stopped = True
            for stop in self._stops:
                stop()

    @contextmanager
    def _starting(self) -> Iterator[None]:
        with self._lock:
            if self._stopped:
                raise errors.RunError("stopped before the stage began")
            yield

    def _start(self, command: list[str], **pipes: Any) -> subprocess.Popen[str]:
        with self._starting():
            process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, encoding="utf-8", **pipes)
            self._stops.append(partial(_kill, process))
        return process


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        if process.stdin is not None:
            process.stdin.close()  # ranks are grandchildren, and end by this


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


def _relay(events: Iterable[str], progress: Progress) -> _Outcome:
    """Show the children's progress until their pipe closes; return the first user error, and the exit code if told."""
    failure: Exception | None = None
    code: int | None = None
    for line in events:
        if not line.startswith("{"):
            continue  # a rank's pipe is its standard output, where a library may print before we take it
        event = json.loads(line)
        name, arguments = event["event"], event["arguments"]
        if name == "error":
            failure = failure or _user_error(event["type"], arguments[0])
        elif name == "exit":
            code = arguments[0]
        elif name == "update":
            progress.update(arguments[0], **arguments[1])
        else:
            getattr(progress, {"start": "start", "message": "message", "close": "close"}[name])(*arguments)
    return failure, code


def _user_error(name: str, message: str) -> errors.UserError:
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, errors.UserError)):
        kind = errors.UserError
    error = kind.__new__(kind)
    errors.UserError.__init__(error, message)  # the message is whole already, whatever the kind's own arguments are
    return error
