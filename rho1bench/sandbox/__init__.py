"""Running programs that a model wrote: the tool loop's programs, HumanEval's and MBPP's tests.

First version: one killable subprocess a program, with limits on time, memory, files and output, an empty environment
and a scratch folder. It stops accidents (endless loops, floods, leftovers), not a hostile program: the file system and
the network stay reachable. Knows nothing of the other rooms.
"""

from rho1bench.sandbox.programs import Outcome, ProgramResult, run_program, run_programs

__all__ = ["Outcome", "ProgramResult", "run_program", "run_programs"]
