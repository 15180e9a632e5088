"""Grading math answers: finding the answer in a completion and judging it twice, as the paper did and strictly.

Between ``evaluation``, which generates completions, and ``comparison`` and ``leaderboard``, which compare scores (paper
section 3.2 and appendix E). Importing this package is quick; sympy is imported in worker processes, when the first hard
answer comes.

The two verdicts are two folders with mirrored file names, ``paper/`` and ``strict/``: ``extraction`` finds the answer,
``normal_form`` removes what does not count in it, ``equality`` holds the rules, and ``symbolic`` is the computer
algebra behind them. ``grader`` asks both verdicts; ``pool`` and ``worker`` run the algebra under the kernel's limits,
``numeric`` and ``magnitude`` spare it what is clearly different or too large; ``saved_outputs`` and ``report`` are
``rho1bench grade``.
"""

from rho1bench.grading.grader import Answer, grade_answer, grade_answers, grade_many
from rho1bench.grading.paper.extraction import extract_answer
from rho1bench.grading.paper.gold import gold_answer, written_answer
from rho1bench.grading.verdict import Grade, Verdict

__all__ = [
    "Answer",
    "Grade",
    "Verdict",
    "extract_answer",
    "gold_answer",
    "grade_answer",
    "grade_answers",
    "grade_many",
    "written_answer",
]
