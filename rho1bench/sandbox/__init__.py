"""Running programs that a model wrote: the tool loop's programs, HumanEval's and MBPP's tests.

A fork server that has numpy and sympy imported forks a supervisor for each program, and the supervisor the program.
Programs are isolated by bubblewrap or by Linux namespaces: a program sees none of the host's processes, network,
environment or files but the interpreter and its packages, read-only, and writes nowhere but in a scratch folder in
memory that ends with it. A seccomp filter closes the system calls that namespaces do not divide. Limits hold for time
(the program's own, whatever else the machine does), memory (counted, and held by the kernel where we may divide a
cgroup of version 2), processes, open files, file size and output. A program can be run as an interpreter would, as the
paper's tool loop did, or under tests that it cannot reach (``check_programs``).
Not covered: a hole in the kernel, and kernel memory of pipes and sockets where it is only counted.
"""

from rho1bench.sandbox.inside.checker import Checks
from rho1bench.sandbox.isolation import UNSAFE, Isolation
from rho1bench.sandbox.programs import (
    Outcome,
    ProgramResult,
    check_programs,
    isolation_in_force,
    run_file,
    run_program,
    run_programs,
)

__all__ = [
    "UNSAFE",
    "Checks",
    "Isolation",
    "Outcome",
    "ProgramResult",
    "check_programs",
    "isolation_in_force",
    "run_file",
    "run_program",
    "run_programs",
]
