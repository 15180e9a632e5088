"""The sandbox's child: takes its limits upon itself, then runs the program as ``__main__``.

Started by ``programs`` as a script (``python -I -S child.py TIMEOUT MEMORY_MB PATH...``) inside the scratch folder that
holds ``program.py``; imports nothing of this package, so that it starts in a few milliseconds.
"""

from __future__ import annotations

import resource
import sys

FILE_BYTES = 4 << 20
OPEN_FILES = 64


def take_limits(timeout: float, memory_mb: int) -> None:
    """Set soft and hard limits on CPU seconds, address space, file size, core dumps and open files."""
    seconds = int(timeout) + 1
    for kind, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(kind, (value, value))


def main() -> None:
    """Run ``program.py`` of the current folder with fresh globals."""
    timeout, memory_mb, *paths = sys.argv[1:]
    # The interpreter starts without site, which halves its start; packages such as sympy are still to be importable.
    sys.path[:] = [path for path in sys.path if path != sys.path[0]] + paths
    with open("program.py", encoding="utf-8") as handle:
        source = handle.read()
    sys.argv = ["program.py"]
    sys.dont_write_bytecode = True
    take_limits(float(timeout), int(memory_mb))
    exec(compile(source, "program.py", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})


if __name__ == "__main__":
    main()
