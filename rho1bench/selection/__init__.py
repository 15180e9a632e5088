"""The heart: token scores, the choice of tokens, the selective loss and the store of reference scores (section 2.2).

What another package's code may use is exported here (``rho1bench/API.md``).
"""

from typing import TYPE_CHECKING

from rho1bench.system.lazy_face import lazy_face

if TYPE_CHECKING:
    from rho1bench.selection.dataset_scores import score_dataset as score_dataset
    from rho1bench.selection.rule import ScoreFunction as ScoreFunction
    from rho1bench.selection.rule import ScoreInputs as ScoreInputs
    from rho1bench.selection.score_functions import Parameters as Parameters
    from rho1bench.selection.score_functions import score_function as score_function
    from rho1bench.selection.score_functions import score_function_names as score_function_names
    from rho1bench.selection.score_store import TokenScores as TokenScores
    from rho1bench.selection.stage import ScoreOptions as ScoreOptions
    from rho1bench.selection.stage import run_score as run_score

_MODULES = {
    "Parameters": "score_functions",
    "ScoreFunction": "rule",
    "ScoreInputs": "rule",
    "ScoreOptions": "stage",
    "TokenScores": "score_store",
    "run_score": "stage",
    "score_dataset": "dataset_scores",
    "score_function": "score_functions",
    "score_function_names": "score_functions",
}
__all__ = [
    "Parameters",
    "ScoreFunction",
    "ScoreInputs",
    "ScoreOptions",
    "TokenScores",
    "run_score",
    "score_dataset",
    "score_function",
    "score_function_names",
]
__getattr__, __dir__ = lazy_face(__name__, _MODULES)
