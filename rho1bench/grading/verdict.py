"""What grading says about one answer: two verdicts side by side.

``paper`` follows the protocol behind the published tables (paper section 3.2, appendix E); ``verified`` is our own
strict reading. Both use the same five words, so that counts and disagreements can be tabulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GRADER_VERSION = 3
"""Raised with every change after which some verdict may be another one: rows of two versions stand in no one column."""


class Verdict(StrEnum):
    """The outcome of comparing one answer with the gold answer; only ``CORRECT`` scores."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    NO_ANSWER = "no_answer"
    TIMEOUT = "timeout"
    ERROR = "error"


@dataclass(frozen=True)
class Grade:
    """The extracted answer and its two verdicts."""

    pred: str
    paper: Verdict
    verified: Verdict
