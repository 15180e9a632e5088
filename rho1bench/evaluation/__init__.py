"""Evaluating checkpoints through lm-eval: engines (vllm, hf), tool loop, harness, suites, the eval stage.

Between ``training`` (which leaves checkpoints) and ``leaderboard`` (which compares scores). Paper sections 3.2 and 3.3.
One engine serves all checkpoints of one architecture; one unit of work is a checkpoint with the tasks of one suite.
:func:`evaluate` is ``rho1bench eval`` (``rho1bench/API.md``).
"""

from typing import TYPE_CHECKING

from rho1bench.system.lazy_face import lazy_face

if TYPE_CHECKING:
    from rho1bench.evaluation.command import EvalOptions as EvalOptions
    from rho1bench.evaluation.command import evaluate as evaluate

_MODULES = {
    "EvalOptions": "command",
    "evaluate": "command",
}
__all__ = [
    "EvalOptions",
    "evaluate",
]
__getattr__, __dir__ = lazy_face(__name__, _MODULES)
