"""What the processes of a program use together: time and memory, read from /proc by their supervisor."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from rho1bench.sandbox.inside import syscalls

FIRST = 1
"""The process id, within a program's namespaces, of the process that starts the program."""


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

        Pages of a shared mapping count once, however many processes use them.
        """
        kept = _memory(self.origin).private
        held = [_memory(pid) for pid in self.ids()]
        return sum(max(0, memory.private - kept) + memory.shared for memory in held)

    def exact_memory(self) -> int:
        """As ``memory``, but slower and exact where several processes map the same shared pages."""
        return self.memory() - sum(_counted_twice(pid) for pid in self.ids())


@dataclass(frozen=True)
class _Memory:
    """Bytes of a process's own pages, those swapped out too, and of the shared ones that it maps, files left out."""

    private: int = 0
    shared: int = 0


def _memory(pid: int) -> _Memory:
    sizes = _sizes(f"/proc/{pid}/status", ("RssAnon", "RssShmem", "VmSwap"))
    return _Memory(sizes["RssAnon"] + sizes["VmSwap"], sizes["RssShmem"]) if len(sizes) == 3 else _Memory()


def _counted_twice(pid: int) -> int:
    """Return the bytes of a process's shared pages that are other processes' share of them; 0 if it cannot be told."""
    share = _sizes(f"/proc/{pid}/smaps_rollup", ("Pss_Shmem",))
    return max(0, _memory(pid).shared - share["Pss_Shmem"]) if share else 0


def _sizes(path: str, names: Sequence[str]) -> dict[str, int]:
    """Read sizes, which the kernel gives in KiB; empty if the process has ended."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            fields = (line.partition(":") for line in file)
            return {name: int(value.split()[0]) << 10 for name, _, value in fields if name in names}
    except OSError:
        return {}


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
