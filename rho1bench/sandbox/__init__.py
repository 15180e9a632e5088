"""Running programs that a model wrote: the tool loop's programs, HumanEval's and MBPP's tests.

A warm parent that has numpy and sympy imported forks a keeper for each program, and the keeper the program. Walls are
bubblewrap's or Linux namespaces: a program sees none of the host's processes, network, environment or files but the
interpreter and its packages, read-only, and writes nowhere but in a scratch folder in memory that ends with it. Limits
hold for time, memory, processes, open files, file size and output. Not covered: a hole in the kernel. Knows nothing of
the other rooms.
"""

from rho1bench.sandbox.isolation import UNSAFE, Walls
from rho1bench.sandbox.programs import Outcome, ProgramResult, run_file, run_program, run_programs, walls_in_force

__all__ = [
    "UNSAFE",
    "Outcome",
    "ProgramResult",
    "Walls",
    "run_file",
    "run_program",
    "run_programs",
    "walls_in_force",
]
