"""What the processes of a program use together: time and memory, read from /proc by their supervisor."""

from __future__ import annotations

import os
from collections.abc import Iterator

MEMORY_NAMES = ("/dev/zero", "/memfd:", "/SYSV")
"""How /proc names shared memory without a file, by the call that made it."""


class Processes:
    """All processes below this one, the supervisor: those of its program.

    They are seen through the /proc that is there when this is made; a program's own is mounted over it later on, and
    cannot be everywhere. Where the kernel does not list children, none are seen.
    """

    def __init__(self) -> None:
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        self.kept = self._private_bytes(os.getpid())
        """Bytes of the fork server's own pages, which each of them shares until it writes to them."""

    def ids(self) -> list[int]:
        """Return their process ids."""
        found = self._children(os.getpid())
        for pid in found:
            found += self._children(pid)
        return found

    def _children(self, pid: int) -> list[int]:
        return [int(word) for line in self._lines(f"{pid}/task/{pid}/children") for word in line.split()]

    def memory(self) -> int:
        """Return the bytes that the processes hold beyond what they share with the fork server, all together.

        A shared mapping counts once, at its full length: its pages stay in memory even where no process has touched
        them since it was forked.
        """
        ids = self.ids()
        shared: dict[str, int] = {}
        for pid in ids:
            for inode, length in self._shared_mappings(pid):
                shared[inode] = max(length, shared.get(inode, 0))
        return sum(max(0, self._private_bytes(pid) - self.kept) for pid in ids) + sum(shared.values())

    def _private_bytes(self, pid: int) -> int:
        """Return the bytes of a process's own pages, those swapped out too; 0 if it has ended."""
        lines = self._lines(f"{pid}/status")
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon:", "VmSwap:")))

    def _shared_mappings(self, pid: int) -> Iterator[tuple[str, int]]:
        """Yield inode and length of each shared mapping of memory that belongs to no file."""
        for line in self._lines(f"{pid}/maps"):
            if line.endswith("(deleted)"):
                addresses, flags, offset, _, inode, path = line.split(maxsplit=5)
                if flags[3] == "s" and path.startswith(MEMORY_NAMES):
                    first, last = (int(address, 16) for address in addresses.split("-"))
                    yield inode, int(offset, 16) + last - first

    def times(self) -> dict[str, tuple[int, int]]:
        """Return the nanoseconds that each thread has run, and waited for a CPU, by its id."""
        found = {}
        for pid in self.ids():
            for task in self._threads(pid):
                for line in self._lines(f"{pid}/task/{task}/schedstat"):
                    ran, waited, _ = line.split()
                    found[task] = int(ran), int(waited)
        return found

    def _threads(self, pid: int) -> list[str]:
        try:
            folder = os.open(f"{pid}/task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._proc)
        except OSError:
            return []
        try:
            return os.listdir(folder)
        except OSError:
            return []
        finally:
            os.close(folder)

    def _lines(self, path: str) -> list[str]:
        """Read a file of /proc; empty if the process has ended."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
            with open(descriptor, encoding="utf-8", errors="replace") as file:
                return file.read().splitlines()
        except OSError:
            return []


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
        """Read how long every thread has run and waited; those that ended keep what was seen last."""
        self._tasks |= processes.times()

    def _sums(self) -> tuple[int, int]:
        return sum(ran for ran, _ in self._tasks.values()), sum(waited for _, waited in self._tasks.values())

    def seconds(self, now: float) -> float:
        """Return the program's own time."""
        ran, waited = ((after - before) / 1e9 for after, before in zip(self._sums(), self._before, strict=True))
        return max(ran, now - self._began - waited)
