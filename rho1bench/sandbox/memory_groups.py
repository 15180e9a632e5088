"""Where on this machine the kernel can be given the memory limits of programs: a folder of cgroups, version 2.

A group that holds processes cannot hand memory on to groups below it, so ours is made beside the caller's own group:
for root anywhere (the usual systemd machine), for others where systemd has handed the groups around theirs on to them
(``systemd-run --user --scope rho1bench ...``). The group around both is told to divide its memory. A caller whose own
group has a limit keeps its programs in it: there, elsewhere, and on version 1, the supervisors' count stands alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from rho1bench.sandbox.inside.memory_group import REMOVE_SECONDS, SERVER
from rho1bench.sandbox.inside.namespaces import NOBODY

PREFIX = "rho1bench-"
LIMITS = {"memory.max": "max", "memory.high": "max", "cpu.max": "max", "cpuset.cpus": ""}
"""Files of a group, and how each begins where it sets no limit."""


@dataclass(frozen=True)
class MemoryGroups:
    """A folder of groups for one fork server and its programs; ``descriptor`` is open for the fork server."""

    folder: Path
    descriptor: int

    def close(self) -> None:
        """Take the groups away; the fork server has ended, and its programs are about to."""
        os.close(self.descriptor)
        latest = time.monotonic() + REMOVE_SECONDS
        while not _remove(self.folder, kill=True) and time.monotonic() < latest:
            time.sleep(0.01)


def make_groups(
    mounts: Path = Path("/proc/self/mountinfo"), own: Path = Path("/proc/self/cgroup")
) -> MemoryGroups | None:
    """Make a folder for groups; None where this process may not, or where there is no cgroup of version 2."""
    try:
        place = _place(*(path.read_text(encoding="utf-8", errors="replace") for path in (mounts, own)))
        if place is None or "memory" not in (place / "cgroup.controllers").read_text(encoding="ascii").split():
            return None
        _hand_memory_on(place)
        for left in place.glob(f"{PREFIX}*"):  # by callers that were killed
            if not _is_in_use(left):
                _remove(left, kill=False)
        return _make(place / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
    except OSError:
        return None


def _place(mounts: str, own: str) -> Path | None:
    """Return the group below which ours is made: the parent of this process's, or the root that all lie below."""
    found = None
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            root, point = fields.split()[3:5]
            found = Path(root), Path(point)
            break
    name = next((line.removeprefix("0::") for line in own.splitlines() if line.startswith("0::")), None)
    if found is None or name is None or not Path(name).is_relative_to(found[0]):
        return None
    group = found[1] / Path(name).relative_to(found[0])
    is_root = not (group / "cgroup.type").exists()
    if is_root:
        return group
    return None if group == found[1] or _is_limited(group) else group.parent


def _is_limited(group: Path) -> bool:
    for name, free in LIMITS.items():
        with contextlib.suppress(FileNotFoundError):
            value = (group / name).read_text(encoding="ascii").split()
            if (value[0] if value else "") != free:
                return True
    return False


def _hand_memory_on(group: Path) -> None:
    """Let ``group`` divide its memory among the groups below it; raises ``OSError`` where it may not."""
    path = group / "cgroup.subtree_control"
    if "memory" not in path.read_text(encoding="ascii").split():
        path.write_text("+memory", encoding="ascii")


def _make(folder: Path) -> MemoryGroups:
    folder.mkdir()
    try:
        _hand_memory_on(folder)
        (folder / SERVER).mkdir()
        if os.geteuid() == 0:  # supervisors are nobody, and move programs from the one group to another
            for path in (folder, folder / "cgroup.procs"):
                os.chown(path, NOBODY, NOBODY)
        return MemoryGroups(folder, os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
    except OSError:
        _remove(folder, kill=False)
        raise


def _is_in_use(folder: Path) -> bool:
    """Tell whether the process that made the folder is alive, or seems to be."""
    pid = folder.name.removeprefix(PREFIX).partition("-")[0]
    return Path(f"/proc/{pid}").exists()


def _remove(folder: Path, *, kill: bool) -> bool:
    """Take ``folder`` and the groups below it away; False if one still holds a process."""
    with contextlib.suppress(OSError):
        for group in folder.iterdir():
            if group.is_dir():
                if kill:
                    with contextlib.suppress(OSError):  # kernels before 5.14 have no such file
                        (group / "cgroup.kill").write_text("1", encoding="ascii")
                group.rmdir()
        folder.rmdir()
    return not folder.exists()
