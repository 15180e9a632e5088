"""The program's own process: sets its limits, then runs the source as an interpreter of its own would.

What a fresh ``python program.py`` shows to a program is shown here too: a ``__main__`` of its own, its own random
state, nothing on stdin, the interpreter's exit code and error output. What the fork server imported is its own copy.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import io
import os
import resource
import signal
import sys
import threading
import traceback
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from rho1bench.sandbox.inside import syscalls

NAME = "program.py"
FIRST_SPARE = 64
FILE_BYTES = 4 << 20
OPEN_FILES = 64
END_CHARACTERS = 1 << 17
"""What is kept of either end of a captured output: as UTF-8, both fit into what the caller reads."""
PROCESSES = 64
"""Processes and threads of one program; the kernel counts them for each user namespace, and never for root."""


@dataclass(frozen=True)
class Limits:
    """CPU seconds and bytes of address space of each process of a program, and whether it is isolated."""

    timeout: float
    address_space: int
    isolated: bool


def enter(output: int, errors: int, kept: Sequence[int], limits: Limits, parent: int) -> list[int]:
    """Become a process of the program: own session, streams in place, no other descriptors than ``kept``, limits set.

    ``parent`` is the process that must still be the parent. Returns the new numbers of the kept descriptors.
    """
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    spare = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_SPARE) for descriptor in kept]
    os.dup2(output, 1)
    os.dup2(errors, 2)
    numbers = list(range(3, 3 + len(spare)))
    for descriptor, number in zip(spare, numbers, strict=True):
        os.dup2(descriptor, number, inheritable=False)
    os.closerange(3 + len(spare), 1 << 20)
    take_limits(limits)
    with contextlib.suppress(OSError):  # where the kernel has no keyrings, there is none to leave
        syscalls.leave_keyring()
    _reseed()
    if os.getppid() != parent:
        os._exit(1)
    return numbers


def take_limits(limits: Limits) -> None:
    """Set soft and hard limits on CPU seconds, bytes of address space, file size, core dumps, open files, processes."""
    for kind, value in (
        (resource.RLIMIT_CPU, int(limits.timeout) + 1),
        (resource.RLIMIT_AS, limits.address_space),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(kind, (value, value))
    if limits.isolated:
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))


def _reseed() -> None:
    """Give packages that drew their random state in the fork server another one; ``random`` does so by itself."""
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed()
    if sympy_random := sys.modules.get("sympy.core.random"):
        sympy_random.rng.seed()


def run(source: str) -> NoReturn:
    """Run ``source`` as ``__main__`` and end the process as the interpreter would."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    code = 0
    try:
        execute(source, main)
    except SystemExit as request:
        code = _exit_code(request)
    except BaseException as error:
        for _ in range(2):  # the frames of this function and of ``execute`` are no part of the program
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        code = _show_error(error)
    _finish(code)


def run_captured(source: str) -> NoReturn:
    """Run ``source`` as the paper's harness ran the programs of the tool loop, and end the process.

    That harness called ``exec`` with an empty namespace and a text buffer for ``sys.stdout``: a program has no name
    (``__name__`` is ``builtins``'s) and no file, only what ``print`` writes is its output, threads and exit handlers
    are not waited for, and whatever it raises is an error, ``SystemExit`` too. The last line of that is written to
    stderr, as the harness took it. Of a very long output only the ends are written.
    """
    outputs = [os.dup(descriptor) for descriptor in (1, 2)]
    nowhere = os.open("/dev/null", os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    printed = io.StringIO()
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = [NAME]
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(source, "<string>", "exec", dont_inherit=True), {})
        text = printed.getvalue()
    except BaseException:
        _write(outputs[1], traceback.format_exc().split("\n")[-2])
        os._exit(1)
    _write(outputs[0], text if len(text) <= 2 * END_CHARACTERS else text[:END_CHARACTERS] + text[-END_CHARACTERS:])
    os._exit(0)


def _write(descriptor: int, text: str) -> None:
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.write(text)


def execute(source: str, module: types.ModuleType) -> None:
    """Write ``source`` to its file and run it in the namespace of ``module``; raises whatever it raises."""
    module.__dict__.update(__file__=os.path.abspath(NAME), __builtins__=sys.modules["builtins"])
    sys.argv = [NAME]
    data = source.encode("utf-8", errors="replace")
    with open(NAME, "wb") as handle:
        handle.write(data)
    exec(compile(data, NAME, "exec", dont_inherit=True), module.__dict__)


def _exit_code(request: SystemExit) -> int:
    if request.code is None:
        return 0
    if isinstance(request.code, int):
        return request.code & 0xFF
    print(request.code, file=sys.stderr)
    return 1


def _show_error(error: BaseException) -> int:
    """Show an uncaught exception as the interpreter does, by the program's own hook if it set one."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as request:
        return _exit_code(request)
    except BaseException:
        traceback.print_exc()
    return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1


def _finish(code: int) -> NoReturn:
    """Wait for threads, run exit handlers, flush; the rest of an interpreter's end would only cost time."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            code = code or 120  # as the interpreter has it
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
