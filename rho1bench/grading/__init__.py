"""Grading math answers: finding the answer in a completion and judging it twice, as the paper did and strictly.

Between ``evaluation`` (which generates completions) and ``leaderboard`` (which compares scores). PAPER.md section 3.
Importing this package is quick; sympy is imported in worker processes, when the first hard answer comes.

``extraction`` finds the answer and ``normal_form`` (with ``unit_words``) rewrites it, ``gold`` reads the test row;
``paper`` judges as published, with ``numeric`` to tell clear differences and ``symbolic`` (``expressions``,
``magnitude``) as its algebra; ``strict`` judges rightly. ``grader`` asks both, ``pool`` and ``worker`` run the algebra
under the kernel's limits; ``files``, ``records`` and ``report`` are ``rho1bench grade``.
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
