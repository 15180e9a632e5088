"""A model that needs no weights: it knows the answer to every prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rho1bench.evaluation.cached_model import LogLikelihood
from rho1bench.evaluation.engines import Generation, Request, Tick


class Oracle:
    """A model that knows the answers (``right``) or says something else; it finds a document by its prompt."""

    def __init__(self, answers: dict[str, str], right: bool) -> None:
        self.answers = answers
        self.right = right

    def complete(self, requests: Sequence[Request], tick: Tick) -> list[Generation]:
        tick(len(requests))
        return [Generation(self._answer(request.prompt), "stop", 1, 1) for request in requests]

    def _answer(self, prompt: str) -> str:
        if "```output" in prompt:
            return f"The answer is $\\boxed{{{prompt.rpartition('```output')[2].splitlines()[1]}}}$."
        return self.answers[prompt]

    def loglikelihoods(self, pairs: Sequence[Any], tick: Tick) -> list[LogLikelihood]:
        tick(len(pairs))
        values = [0.0 if (pair.idx == pair.doc["target"]) == self.right else -50.0 for pair in pairs]
        return [LogLikelihood(value, False, 1, True) for value in values]
