"""The agents of one launch at work: started, listened to, and ended together when one of them fails.

The ranks of all agents answer on standard output with JSON lines (``stage_process``); what they and torchrun write to
standard error goes to a file an agent, beside the job. A rank ends when its standard input closes.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from rho1bench.errors import RunError
from rho1bench.pipeline.stage_process import ASK_TO_STOP, STOPPED
from rho1bench.pipeline.torchrun import AgentCommand, Ending

PATIENCE = 10.0
"""Seconds in which the others may end by themselves after one agent has failed, and tell why."""
_READ = None
"""Stands in the queue for the end of an agent's standard output."""


class Agents:
    """The processes that start the ranks, all of them or none."""

    def __init__(self, commands: Sequence[AgentCommand], folder: Path) -> None:
        """Start the agents; their logs go to ``folder``. Raises RunError for a command that is not there."""
        self.endings: list[Ending] = []
        """Of the agents that have ended, in this order."""
        self._commands = commands
        self._logs = [folder / f"agent-{index}.log" for index in range(len(commands))]
        self._heard: queue.SimpleQueue[str | tuple[int, int] | None] = queue.SimpleQueue()
        self._processes: list[subprocess.Popen[str]] = []
        try:
            for command, log in zip(commands, self._logs, strict=True):
                self._processes.append(_start(command, log))
        except FileNotFoundError as error:
            self.stop()
            raise RunError(f"{error.filename!r} is not installed here, and it is to start the ranks") from error

    def lines(self) -> Iterator[str]:
        """Yield what the ranks write to standard output until all agents have ended.

        Where one fails, or says that it was asked to stop, the others are ended after :data:`PATIENCE` seconds.
        """
        for index in range(len(self._processes)):
            threading.Thread(target=self._read, args=(index,), daemon=True).start()
            threading.Thread(target=self._wait, args=(index,), daemon=True).start()
        deadline: float | None = None
        open_pipes = len(self._processes)
        while open_pipes or len(self.endings) < len(self._processes):
            try:
                heard = self._heard.get(timeout=None if deadline is None else max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                self.stop()
                deadline = None
                continue
            if isinstance(heard, str):
                if heard.startswith(STOPPED):
                    deadline = deadline or time.monotonic() + PATIENCE
                yield heard
            elif heard is _READ:
                open_pipes -= 1
            elif self._has_failed(*heard):
                deadline = deadline or time.monotonic() + PATIENCE

    def ask_to_stop(self) -> None:
        """Let the ranks leave a resume point and end."""
        for process in self._processes:
            with suppress(OSError, ValueError):
                assert process.stdin is not None
                os.write(process.stdin.fileno(), ASK_TO_STOP)

    def stop(self) -> None:
        """End all agents and their ranks now."""
        for process in self._processes:
            _close(process)
        end = time.monotonic() + PATIENCE / 2
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(end - time.monotonic(), 0.01))
        for process in self._processes:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def _has_failed(self, index: int, code: int) -> bool:
        """Take down how an agent ended; ranks that it left behind end with its pipe."""
        _close(self._processes[index])
        log = self._logs[index].read_text(encoding="utf-8", errors="replace")
        self.endings.append(Ending(self._commands[index].name, code, log))
        return code != 0

    def _read(self, index: int) -> None:
        pipe = self._processes[index].stdout
        assert pipe is not None
        with pipe:
            for line in pipe:
                self._heard.put(line)
        self._heard.put(_READ)

    def _wait(self, index: int) -> None:
        self._heard.put((index, self._processes[index].wait()))


def _start(command: AgentCommand, log: Path) -> subprocess.Popen[str]:
    with log.open("w") as stderr:
        return subprocess.Popen(
            command.command,
            env={**os.environ, **command.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the runner's, which ends them
        )


def _close(process: subprocess.Popen[str]) -> None:
    """Close an agent's standard input, by which its ranks end."""
    with suppress(OSError):
        assert process.stdin is not None
        process.stdin.close()
