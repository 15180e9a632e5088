"""Several answers to each prompt: the mean score (avg@k), and the score of the answer that most of them give (maj@k).

lm-eval's filters keep the first answer alone; here each of them passes through the task's filter and scoring by itself.
Votes are counted among extracted answers: of math documents the grader's, else what the task's filter leaves.
"""

from __future__ import annotations

import copy
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rho1bench.evaluation.grade_cache import answer_to, is_graded, judged
from rho1bench.evaluation.harness.lm_eval_internals import filtered_alone
from rho1bench.evaluation.harness.lm_eval_types import Doc, EvalTask


@dataclass(frozen=True)
class SampledAnswer:
    """One of the answers to a prompt: what was extracted from it (the vote), and the task's metrics of it."""

    vote: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class SampledAnswers:
    """All answers to one prompt, in their order."""

    answers: tuple[SampledAnswer, ...]

    def mean(self, metric: str) -> float:
        """Return avg@k."""
        return statistics.fmean(answer.metrics[metric] for answer in self.answers)

    def majority(self, metric: str) -> float:
        """Return maj@k: of equally frequent answers the first one counts; one that says nothing is no vote."""
        votes = Counter(answer.vote for answer in self.answers if answer.vote)
        if not votes:
            return self.answers[0].metrics[metric]
        winner = max(votes, key=lambda vote: votes[vote])
        return next(answer.metrics[metric] for answer in self.answers if answer.vote == winner)


def sampled_answers(task: EvalTask, docs: Mapping[int, Doc]) -> dict[int, SampledAnswers]:
    """Return the answers to each of ``docs`` (by doc_id) of a task that lm-eval has just run, scored one by one."""
    found: dict[int, SampledAnswers] = {}
    for instance in task.instances:
        doc = docs[instance.doc_id]
        answers = []
        for text in instance.resps:
            alone = copy.copy(instance)
            alone.resps, alone.filtered_resps = [text], {}
            filtered = filtered_alone(task, alone)
            metrics = {name: float(value) for name, value in task.process_results(doc, [filtered]).items()}
            answers.append(SampledAnswer(_vote(doc, text, filtered), metrics))
        found[instance.doc_id] = SampledAnswers(tuple(answers))
    return found


def _vote(doc: Doc, text: str, filtered: Any) -> str:
    if is_graded(doc):
        return judged(answer_to(doc, text)).pred
    return "" if filtered in ("[invalid]", None) else str(filtered).strip()
