"""What the processes of a program use together: time and memory, read from /proc by their supervisor."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field

from rho1bench.sandbox.inside import syscalls

FIRST = 1
"""The process id, within a program's namespaces, of the process that starts the program."""
MEMORY_NAMES = ("/dev/zero", "/memfd:", "/SYSV")
"""How /proc names shared memory without a file, by the call that made it."""


@dataclass(frozen=True)
class Processes:
    """The processes below ``first``, a child of the supervisor; ``isolated`` ones have namespaces of their own.

    Those are seen through the /proc that their first process mounted, which the supervisor shares; where it could not
    mount one, none are seen.
    """

    first: int
    isolated: bool

    @property
    def origin(self) -> int:
        """The first process: forked from the fork server, it keeps all as it was."""
        return FIRST if self.isolated else self.first

    def ids(self) -> list[int]:
        """Return the ids of the processes of the program, as /proc has them."""
        if self.isolated:
            return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != FIRST]
        found = syscalls.children(self.first)
        for pid in found:
            found += syscalls.children(pid)
        return found

    def memory(self) -> int:
        """Return the bytes that the processes hold beyond what they share with the fork server, all together.

        A shared mapping counts once, at its full length: its pages stay in memory even where no process has touched
        them since it was forked.
        """
        ids = self.ids()
        kept = _private_bytes(self.origin)
        shared: dict[str, int] = {}
        for pid in ids:
            for inode, length in _shared_mappings(pid):
                shared[inode] = max(length, shared.get(inode, 0))
        return sum(max(0, _private_bytes(pid) - kept) for pid in ids) + sum(shared.values())


def _private_bytes(pid: int) -> int:
    """Return the bytes of a process's own pages, those swapped out too; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return sum(int(line.split()[1]) << 10 for line in file if line.startswith(("RssAnon:", "VmSwap:")))
    except OSError:
        return 0


def _shared_mappings(pid: int) -> list[tuple[str, int]]:
    """Return inode and length of each shared mapping of memory that belongs to no file; empty if it has ended."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            lines = [line.split(maxsplit=5) for line in file if line.endswith("(deleted)\n")]
    except OSError:
        return []
    found = []
    for addresses, flags, offset, _, inode, path in lines:
        if flags[3] == "s" and path.startswith(MEMORY_NAMES):
            first, last = (int(address, 16) for address in addresses.split("-"))
            found.append((inode, int(offset, 16) + last - first))
    return found


@dataclass
class OwnTime:
    """The time that a program took, without the time that its processes waited for a CPU that others had.

    It is the CPU time of all its processes if that is more: several at once take as much as one after the other.
    Where the kernel does not count the waiting, it is the time on the clock.
    """

    began: float
    _tasks: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Nanoseconds that each thread ran and waited, by its id; those that ended keep what was seen last."""

    def look(self, processes: Processes) -> None:
        """Read how long every thread has run and waited up to now."""
        for pid in processes.ids():
            with contextlib.suppress(OSError, ValueError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                        ran, waited, _ = file.read().split()
                    self._tasks[task] = int(ran), int(waited)

    def seconds(self, now: float) -> float:
        """Return the program's own time."""
        ran = sum(ran for ran, _ in self._tasks.values())
        waited = sum(waited for _, waited in self._tasks.values())
        return max(ran / 1e9, now - self.began - waited / 1e9)
