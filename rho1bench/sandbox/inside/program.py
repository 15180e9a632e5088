"""The program's own process: sets its limits, then runs the source as an interpreter of its own would.

What a fresh ``python program.py`` shows to a program is shown here too: a ``__main__`` of its own, its own random
state, nothing on stdin, the interpreter's exit code and error output. What the fork server imported is its own copy.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import resource
import signal
import sys
import threading
import traceback
import types
from typing import NoReturn

from rho1bench.sandbox.inside import syscalls

NAME = "program.py"
FIRST_PROCESS = 1
FILE_BYTES = 4 << 20
OPEN_FILES = 64
PROCESSES = 64
"""Processes and threads of one program; the kernel counts them for each user namespace, and never for root."""


def enter(output: int, errors: int, timeout: float, address_space: int, above: int) -> None:
    """Become the program's process: own session, streams in place, no other descriptor, limits taken.

    ``above`` is the process that must still be the parent: the supervisor or, if isolated, the namespace's first one.
    """
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
    os.setsid()
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.closerange(3, 1 << 20)
    take_limits(timeout, address_space)
    _reseed()
    if above == FIRST_PROCESS:
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    if os.getppid() != above:
        os._exit(1)


def take_limits(timeout: float, address_space: int) -> None:
    """Set soft and hard limits on CPU seconds, bytes of address space, file size, core dumps, open files."""
    for kind, value in (
        (resource.RLIMIT_CPU, int(timeout) + 1),
        (resource.RLIMIT_AS, address_space),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(kind, (value, value))


def _reseed() -> None:
    """Give packages that drew their random state in the fork server another one; ``random`` does so by itself."""
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed()
    if sympy_random := sys.modules.get("sympy.core.random"):
        sympy_random.rng.seed()


def run(source: str) -> NoReturn:
    """Run ``source`` as ``__main__`` and end the process as the interpreter would."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=os.path.abspath(NAME), __builtins__=sys.modules["builtins"])
    sys.modules["__main__"] = main
    sys.argv = [NAME]
    code = 0
    try:
        data = source.encode("utf-8", errors="replace")
        with open(NAME, "wb") as handle:
            handle.write(data)
        exec(compile(data, NAME, "exec", dont_inherit=True), main.__dict__)
    except SystemExit as request:
        code = _exit_code(request)
    except BaseException as error:
        # The frame of this function is no part of the program.
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        code = _show_error(error)
    _finish(code)


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
