"""Runs stages in child processes: stages that do not need each other side by side, or one stage in several ranks.

The runner's second way of carrying out a stage: CLM and SLM of one recipe, say, on two CPU cores, or one training stage
on 4 x 8 GPUs (``torchrun``). A child gets its job as one line of JSON and answers with JSON lines (``stage_process``).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
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
from rho1bench.pipeline import stopping
from rho1bench.pipeline.agents import Agents
from rho1bench.pipeline.launch import Launch
from rho1bench.pipeline.stage import StageContext
from rho1bench.pipeline.stage_forks import StageForks, may_fork
from rho1bench.pipeline.stage_process import ASK_TO_STOP
from rho1bench.pipeline.torchrun import agent_commands, launch_failure, with_own_gpus
from rho1bench.recipe import PretrainedModel, StageBase
from rho1bench.system.files import write_text
from rho1bench.system.hub import find_model
from rho1bench.system.progress import Progress

LAUNCH_FOLDER = "launch"
"""Where a stage's folder holds the job of its ranks and the logs of their agents, until they have ended well."""
_Outcome = tuple[BaseException | None, int | None]
"""The user error, or the stop, that a child reported, and its exit code (``None``: not told by itself)."""


class Children:
    """The child processes of one run. As a context manager it leaves none behind."""

    def __init__(self, launch: Launch | None = None) -> None:
        self.launch = launch or Launch()
        self._forks = StageForks()
        self._stops: list[Callable[[], None]] = []
        self._wishes: list[Callable[[], None]] = []
        """How each child learns that it is to save and end."""
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

        A stage that works in ranks runs in all of the launch's. Raises the ``UserError`` that a child raised,
        ``Stopped`` if it was asked to stop, ``RunError`` if a signal ended a rank, ``RuntimeError`` for what failed in
        another way.
        """
        if self.launch.starts_ranks(context.stage):
            self._run_ranks(context, target)
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
            self._can_be_asked(partial(_write_wish, job))
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
            self._can_be_asked(partial(_write_wish, process.stdin))
            failure, _ = _relay(events, context.progress)
            code = process.wait()
            process.stdin.close()
        return failure, code

    def _run_ranks(self, context: StageContext, target: str) -> None:
        clear_launch(context.folder)
        folder = context.folder.absolute() / LAUNCH_FOLDER
        folder.mkdir(parents=True)
        fetch_models(context.stage)
        job, nonce = folder / "job.json", secrets.token_hex(8)
        write_text(job, _job(context, target, None, nonce))
        commands = with_own_gpus(self.launch, agent_commands(self.launch, job, nonce))
        with self._starting():
            agents = Agents(commands, folder)
            self._stops.append(agents.stop)
        self._can_be_asked(agents.ask_to_stop)
        failure, _ = _relay(agents.lines(), context.progress)
        if failure is not None:
            raise failure
        if any(ending.code != 0 for ending in agents.endings):
            stopping.stop_if_asked()
            raise launch_failure(context.stage.name, agents.endings)
        clear_launch(context.folder)

    def ask_to_stop(self) -> None:
        """Let every child leave a resume point and end; takes no lock, since a handler of signals calls it."""
        for wish in tuple(self._wishes):
            wish()

    def _can_be_asked(self, wish: Callable[[], None]) -> None:
        self._wishes.append(wish)
        if stopping.is_asked():
            wish()

    def stop(self) -> None:
        """End every child; the stages go on from their resume points when the run is started again."""
        with self._lock:
            self._stopped = True
            for stop in self._stops:
                stop()

    @contextmanager
    def _starting(self) -> Iterator[None]:
        with self._lock:
            stopping.stop_if_asked()
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


def _write_wish(pipe: Any) -> None:
    with suppress(OSError, ValueError):  # the child has ended
        os.write(pipe.fileno(), ASK_TO_STOP)


def clear_launch(folder: Path) -> None:
    """Remove what the last launch of ranks has left in the folder of a stage."""
    shutil.rmtree(folder / LAUNCH_FOLDER, ignore_errors=True)


def fetch_models(stage: StageBase) -> None:
    """Fetch what a stage reads from the hub here, once, so that its ranks find it in the cache.

    Raises CheckpointError for a model that cannot be had.
    """
    for _, value in stage:
        if isinstance(value, PretrainedModel):
            find_model(value.pretrained, value.revision)


def run_all(tasks: Sequence[Callable[[], Any]], children: Children, at_a_time: int) -> list[Any]:
    """Call ``tasks`` in threads, some at a time; return their results in order. The first failure stops them all.

    After a wish to stop all may save first.
    """
    with ThreadPoolExecutor(max_workers=at_a_time) as pool, stopping.passing_on(children.ask_to_stop):
        futures = [pool.submit(task) for task in tasks]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            if stopping.is_asked():
                done, _ = wait(futures)
            failed = next((future for future in futures if future in done and future.exception()), None)
            if failed is not None:
                failed.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()
            raise
        return [future.result() for future in futures]


def _job(context: StageContext, target: str, events: int | None, nonce: str | None = None) -> str:
    return json.dumps(
        {
            "target": target,
            "events": events,
            "nonce": nonce,
            "cwd": str(Path.cwd()),
            "recipe": context.recipe.model_dump(mode="json"),
            "stage": context.stage.name,
            "folder": str(context.folder.absolute()),
            "inputs": {name: str(path.absolute()) for name, path in context.inputs.items()},
            "seed": context.seed,
            "options": asdict(context.options),
        }
    )


def _relay(events: Iterable[str], progress: Progress) -> _Outcome:
    """Show the children's progress until their pipe closes; return the first user error, and the exit code if told."""
    failure: BaseException | None = None
    code: int | None = None
    for line in events:
        if not line.startswith("{"):
            continue  # a rank's pipe is its standard output, where a library may print before we take it
        event = json.loads(line)
        name, arguments = event["event"], event["arguments"]
        if name == "error":
            failure = failure or _user_error(event["type"], arguments[0])
        elif name == "stopped":
            failure = failure or errors.Stopped()
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
