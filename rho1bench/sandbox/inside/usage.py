"""What the processes of a program use together: time and memory, read from /proc by their supervisor."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from rho1bench.sandbox.inside import syscalls

MEMORY_NAMES = ("/dev/zero", "/memfd:", "/SYSV")
"""How /proc names shared memory without a file, by the call that made it."""


@dataclass(frozen=True)
class Processes:
    """``first``, a child of the supervisor, and the processes below it; ``kept`` bytes of each are the fork server's.

    ``isolated`` ones have namespaces of their own, and are seen through the /proc that their first process mounted,
    which the supervisor shares; where it could not mount one, none are seen.
    """

    first: int
    isolated: bool
    kept: int

    def ids(self) -> list[int]:
        """Return the ids of the processes, as /proc has them."""
        if self.isolated:
            return [int(name) for name in os.listdir("/proc") if name.isdigit()]
        found = [self.first]
        for pid in found:
            found += syscalls.children(pid)
        return found

    def memory(self) -> int:
        """Return the bytes that the processes hold beyond what they share with the fork server, all together.

        A shared mapping counts once, at its full length: its pages stay in memory even where no process has touched
        them since it was forked.
        """
        ids = self.ids()
        shared: dict[str, int] = {}
        for pid in ids:
            for inode, length in _shared_mappings(pid):
                shared[inode] = max(length, shared.get(inode, 0))
        return sum(max(0, private_bytes(pid) - self.kept) for pid in ids) + sum(shared.values())


def private_bytes(pid: int | str) -> int:
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


class OwnTime:
    """The time that a program took, without the time that its processes waited for a CPU that others had.

    It is the CPU time of all its processes if that is more: several at once take as much as one after the other.
    Where the kernel does not count the waiting, it is the time on the clock.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._tasks: dict[str, tuple[int, int]] = {}
        self._before = (0, 0)

    def start(self, began: float, processes: Processes) -> None:
        """Begin at ``began``, the present; what the processes did before does not count."""
        self.look(processes)
        self._began, self._before = began, self._sums()

    def look(self, processes: Processes) -> None:
        """Read how many nanoseconds every thread has run and waited; those that ended keep what was seen last."""
        for pid in processes.ids():
            with contextlib.suppress(OSError, ValueError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                        ran, waited, _ = file.read().split()
                    self._tasks[task] = int(ran), int(waited)

    def _sums(self) -> tuple[int, int]:
        return sum(ran for ran, _ in self._tasks.values()), sum(waited for _, waited in self._tasks.values())

    def seconds(self, now: float) -> float:
        """Return the program's own time."""
        ran, waited = ((after - before) / 1e9 for after, before in zip(self._sums(), self._before, strict=True))
        return max(ran, now - self._began - waited)
