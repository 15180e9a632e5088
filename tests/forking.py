"""A process that has imported what training needs and runs functions in forks of itself, for tests that kill.

A new interpreter takes seconds to import torch and transformers, a fork none. From the process of the tests itself no
test may fork, since torch has started threads there. Run as a script, it answers each line ``[MODULE, FUNCTION,
ARGUMENTS]`` on standard input with the exit code of the fork.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).parent
IMPORTED = ("rho1bench.training.pretrain", "rho1bench.training.sft", "rho1bench.selection.stage")


class ForkingProcess:
    """The process, from the side of the tests; it starts at once, and imports while the test goes on."""

    def __init__(self) -> None:
        folders = (HERE, HERE / "training", HERE / "selection", HERE.parent)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def exit_code(self, module: str, function: str, *arguments: object) -> int:
        """Call a function in a fork; return the fork's exit code, negative for a signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([module, function, arguments], default=str) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def main() -> None:
    for module in IMPORTED:
        importlib.import_module(module)
    for line in sys.stdin:
        name, function, arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            os.dup2(2, 1)  # standard output is for the answers
            try:
                getattr(importlib.import_module(name), function)(*arguments)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
