"""Grading math answers: finding the answer in a completion and judging it twice, as the paper did and strictly.

Between ``evaluation`` (which generates completions) and ``leaderboard`` (which compares scores). PAPER.md section 3.
Importing this package is quick; sympy is imported in worker processes, when the first hard answer comes.
"""

from rho1bench.grading.extraction import extract_answer
from rho1bench.grading.gold import gold_answer, written_answer
from rho1bench.grading.grader import Answer, grade_answer, grade_answers, grade_many
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
