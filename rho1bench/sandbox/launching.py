"""Starting a fork server: its process in the isolation, the socket that leads to it, and its memory groups."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

from rho1bench.errors import SandboxError
from rho1bench.sandbox.inside.server_main import READY, READY_IN_GROUP, Settings
from rho1bench.sandbox.isolation import Isolation, command, package_folders, shown_paths
from rho1bench.sandbox.memory_groups import MemoryGroups, make_groups

START_SECONDS = 120.0


@dataclass(frozen=True)
class Started:
    """A fork server at work, the socket that leads to it, and the memory groups of its programs, if there are any.

    ``starter`` is the thread that started it, which bubblewrap does not outlive; both have the cores and the rights of
    the thread that asked for them.
    """

    process: subprocess.Popen[bytes]
    control: socket.socket
    groups: MemoryGroups | None
    starter: ThreadPoolExecutor

    def close(self) -> None:
        """End the process and what it still runs."""
        self.control.close()
        self.process.kill()
        self.process.wait()
        self.starter.shutdown(wait=False)
        if self.groups is not None:
            self.groups.close()


def start(isolation: Isolation, modules: Sequence[str]) -> Started:
    """Return a fork server that has imported ``modules`` and is ready; raises SandboxError with its last words."""
    groups, starter = make_groups(), ThreadPoolExecutor(1, "sandbox")
    try:
        process, near, is_in_group = _ready(isolation, modules, groups, starter)
    except BaseException:
        starter.shutdown(wait=False)
        if groups is not None:
            groups.close()
        raise
    if groups is not None and not is_in_group:
        groups.close()
        groups = None
    return Started(process, near, groups, starter)


def _ready(
    isolation: Isolation, modules: Sequence[str], groups: MemoryGroups | None, starter: ThreadPoolExecutor
) -> tuple[subprocess.Popen[bytes], socket.socket, bool]:
    """Return a fork server that is ready, the socket that leads to it, and whether it has joined ``groups``."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory(prefix="rho1bench-root-") as root, far:
        settings: Settings = {
            "control": far.fileno(),
            "modules": list(modules),
            "paths": package_folders(),
            "isolation": isolation,
            "groups": None if groups is None else groups.descriptor,
            "shown": shown_paths(),
            "root": root,
        }
        try:
            handed = [far.fileno(), *([] if groups is None else [groups.descriptor])]
            process = starter.submit(_launch, command(isolation, json.dumps(settings)), handed, log).result()
        except OSError as error:
            near.close()
            raise SandboxError(f"{type(error).__name__}: {error}") from error
        far.close()
        answer = _answer(near)
        if answer not in (READY, READY_IN_GROUP):
            process.kill()
            process.wait()
            near.close()
            raise SandboxError(_last_line(log))
    return process, near, answer == READY_IN_GROUP


def _launch(arguments: list[str], handed: Sequence[int], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        arguments,
        cwd="/",
        # One hash seed for all programs: sets print in the same order in every run of an evaluation.
        env={"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        pass_fds=handed,
        start_new_session=True,
    )


def _answer(control: socket.socket) -> bytes:
    """Return what a fork server says when it is ready; empty if it ends or hangs."""
    if select.select([control], [], [], START_SECONDS)[0]:
        with contextlib.suppress(OSError):
            return control.recv(len(READY_IN_GROUP))
    return b""


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else f"did not start within {START_SECONDS:.0f} s"
