"""The wall behind the count of a program's memory: a cgroup (version 2) for each program, where there can be one.

A supervisor adds up what its program uses ten times a second, and that sum decides the outcome, alike on every machine.
Between two looks a program can take more than there is; the kernel ends a program whose group holds so much more than
it may use that only such a one gets there. The fork server is in a group beside those of its programs, since one that
holds processes cannot hold groups; the caller makes that pair (``sandbox.memory_groups``) and hands its folder in as a
descriptor.
"""

from __future__ import annotations

import contextlib
import os
import time

SERVER = "server"
"""The group of the fork server and the supervisors, below the folder of all."""
SLACK = 128 << 20
"""For what a group holds beside a program's pages: 64 MiB of scratch files, page tables, pipes and sockets. Each of its
processes may also hold a copy of what the fork server has in memory, which the count leaves out."""
REMOVE_SECONDS = 5.0


def join(folder: int) -> None:
    """Put this process, the fork server, into its group; raises ``OSError`` where it may not."""
    _write(folder, f"{SERVER}/cgroup.procs", "0")


class ProgramGroup:
    """The group of one program, made by its supervisor below ``folder`` to hold ``limit`` bytes; raises ``OSError``."""

    def __init__(self, folder: int, limit: int) -> None:
        self._all, self._name = folder, f"program-{os.getpid()}"
        os.mkdir(self._name, dir_fd=folder)
        self._folder = os.open(self._name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            self._set(limit)
            # Opened here, where this process has its rights; the program's first process writes.
            self._entry = os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            os.close(self._folder)
            os.rmdir(self._name, dir_fd=folder)
            raise

    def _set(self, limit: int) -> None:
        _write(self._folder, "memory.max", str(limit))
        _write(self._folder, "memory.oom.group", "1")
        with contextlib.suppress(OSError):  # where the kernel counts no swap
            _write(self._folder, "memory.swap.max", "0")

    def enter(self) -> None:
        """Put this process, the first of the program, and all that it will start into the group, if that goes."""
        with contextlib.suppress(OSError):
            os.write(self._entry, b"0")
        os.close(self._entry)
        os.close(self._folder)

    def is_overrun(self) -> bool:
        """Tell whether the kernel has ended the program for the group's limit, not for want of memory elsewhere."""
        events: dict[str, str] = {}
        with contextlib.suppress(OSError):
            descriptor = os.open("memory.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
            with open(descriptor, encoding="ascii") as file:
                events = dict(line.split() for line in file)
        return all(int(events.get(name, "0")) > 0 for name in ("oom", "oom_kill"))

    def remove(self) -> None:
        """Kill what is left in the group and take it away."""
        with contextlib.suppress(OSError):  # kernels before 5.14 have no such file; the supervisor has killed all
            _write(self._folder, "cgroup.kill", "1")
        latest = time.monotonic() + REMOVE_SECONDS
        while time.monotonic() < latest:
            with contextlib.suppress(OSError):
                os.rmdir(self._name, dir_fd=self._all)
                return
            time.sleep(0.001)


def make(folder: int | None, memory: int, shared: int, processes: int) -> ProgramGroup | None:
    """Return a group for a program; None where there are none, or it cannot be made: then the count stands alone.

    Args:
        folder: the folder of the groups.
        memory: bytes that the program may use by the count.
        shared: bytes of the fork server's own pages, which every process of the program shares until it writes to them.
        processes: how many of these a program can have.
    """
    if folder is None:
        return None
    try:
        return ProgramGroup(folder, memory + SLACK + processes * shared)
    except OSError:
        return None


def _write(folder: int, name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)
