"""The fork server: imports what programs use, then forks a supervisor for every request that comes over its socket.

Started as a script (``python -s -P server_main.py SETTINGS``, a JSON object) with an empty environment. It has one
thread, reads nothing of a request but its descriptors, and ends when its socket is closed at the other side.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if not TYPE_CHECKING:
    sys.path.insert(0, str(Path(__file__).parents[3]))

from rho1bench.sandbox.inside import memory_group, namespaces, supervisor, syscalls

READY = b"ready"
READY_IN_GROUP = b"ready, memory limits held by the kernel"


class Settings(TypedDict):
    """What the caller decides: where to listen, what to import and from where, and how programs are isolated.

    ``groups`` is a folder of cgroups, as a descriptor, if there can be one for each program.
    """

    control: int
    modules: list[str]
    paths: list[str]
    isolation: str
    groups: int | None
    shown: list[str]
    root: str


def import_modules(modules: list[str]) -> None:
    """Import ``modules``; what is not installed is left to the programs, which will say so."""
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def prepare(settings: Settings) -> None:
    """Set the path of ordinary programs, import, and leave no trace of this package to them."""
    sys.path[:] = sys.path[1:] + [path for path in settings["paths"] if path not in sys.path]
    sys.dont_write_bytecode = True
    import_modules(settings["modules"])
    for name in [name for name in sys.modules if name.partition(".")[0] == "rho1bench"]:
        del sys.modules[name]
    os.environ.clear()
    gc.collect()
    collapse_memory()
    gc.freeze()  # a collection in a child would otherwise copy every page of the fork server


def collapse_memory() -> None:
    """Move what the imports left in memory into large pages: a program takes three forks, and each copies the table."""
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="replace") as handle:
        for line in handle.read().splitlines():
            addresses, flags, _, _, _, *path = line.split(maxsplit=5)
            if flags == "rw-p" and path in ([], ["[heap]"]):
                first, last = (int(address, 16) for address in addresses.split("-"))
                syscalls.collapse(first, last)


def isolate(settings: Settings) -> None:
    """Set up the isolation that the caller chose, and try it; raises ``OSError`` if it does not work here."""
    if settings["isolation"] == "none":
        return
    if settings["isolation"] == "namespaces":
        namespaces.build_root(settings["root"], settings["shown"])
    namespaces.drop_root()
    namespaces.probe()


def join_groups(folder: int | None) -> int | None:
    """Join the fork server's own group; returns the folder of the groups, or None where that is not allowed."""
    if folder is None:
        return None
    try:
        memory_group.join(folder)
    except OSError:
        os.close(folder)
        return None
    return folder


def serve(control: socket.socket, isolated: bool, groups: int | None) -> supervisor.Job:
    """Fork a supervisor for each request; returns only in the process of a program, with what that is to do."""
    info = supervisor.ForkServerInfo(os.getpid(), syscalls.address_space(), isolated, groups)
    while True:
        descriptors = socket.recv_fds(control, 1, 4)[1]
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if len(descriptors) not in (3, 4):
            os._exit(0)
        if os.fork() == 0:
            control.close()
            line, output, errors, *tests = descriptors
            return supervisor.supervise(supervisor.Descriptors(line, output, errors, tests[0] if tests else None), info)
        for descriptor in descriptors:
            os.close(descriptor)


def main() -> supervisor.Job:
    """Join the groups, set up isolation, import, report readiness, and serve."""
    settings: Settings = json.loads(sys.argv[1])
    control = socket.socket(fileno=settings["control"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    groups = join_groups(settings["groups"])  # while this process still has the caller's rights
    isolate(settings)
    prepare(settings)
    control.send(READY if groups is None else READY_IN_GROUP)
    return serve(control, settings["isolation"] != "none", groups)


if __name__ == "__main__":
    # At module level, so that a program starts as few frames deep as it would in an interpreter of its own.
    main()()
