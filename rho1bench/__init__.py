"""rho1bench: an end-to-end benchmark suite for token selection in language-model training.

The package follows the pipeline of the paper "Rho-1: Not All Tokens Are What You Need" (arXiv 2404.07965):
``corpus`` -> ``training`` (base, reference) -> ``selection`` (token scores, top-k, selective loss) ->
``training`` (SLM, CLM, SFT) -> ``evaluation`` (with ``grading`` and ``sandbox``) -> ``leaderboard``.
``recipe`` describes a run, ``runner`` carries it out, ``cli`` is what a person types.
"""

__version__ = "0.1.0"
