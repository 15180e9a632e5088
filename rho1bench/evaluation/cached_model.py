"""A checkpoint that is asked for nothing twice: answers come from the journal, else from the engine, and go into it.

Stands between lm-eval's requests (``lm``) and the engines. The engine loads the checkpoint only when a question is new.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from rho1bench.errors import EngineError
from rho1bench.evaluation.answer_cache import Journal
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import Engine, Generation, Request, Tick

PAIRS_AT_ONCE = 128
"""Log-likelihoods are asked for, and written down, this many at a time."""


@dataclass(frozen=True)
class LogLikelihood:
    """Log-likelihood of a continuation in nats, and whether it is what greedy decoding would say."""

    value: float
    is_greedy: bool
    num_tokens: int
    """Tokens of context and continuation."""
    fits: bool
    """False if lm-eval had to cut the context at its left."""


class Model(Protocol):
    """What the harness asks."""

    def complete(self, requests: Sequence[Request], tick: Tick) -> list[Generation]:
        """Complete all prompts in order; ``tick`` hears how many more are finished."""

    def loglikelihoods(self, pairs: Sequence[Any], tick: Tick) -> list[LogLikelihood]:
        """Answer lm-eval's requests for the log-likelihood of (context, continuation), in order."""


class DurableModel:
    """One checkpoint behind an engine and a journal; see :class:`Model`."""

    def __init__(self, engine: Engine, checkpoint: Checkpoint, journal: Journal) -> None:
        self._engine = engine
        self._checkpoint = checkpoint
        self._journal = journal
        self._loaded = False
        self.asked = 0
        """Questions that the engine answered."""
        self.replayed = 0
        """Questions that the journal answered."""

    def _load(self) -> None:
        if not self._loaded:
            self._engine.load(self._checkpoint)
            self._loaded = True

    def _split(self, keys: Sequence[str], tick: Tick) -> dict[str, list[int]]:
        """Return the places of each question that the journal does not answer."""
        new: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            if self._journal.find(key) is None:
                new.setdefault(key, []).append(place)
        known = len(keys) - sum(map(len, new.values()))
        self.replayed += known
        tick(known)
        return new

    def _answer(self, key: str) -> dict[str, Any]:
        entry = self._journal.find(key)
        assert entry is not None
        return entry

    def complete(self, requests: Sequence[Request], tick: Tick) -> list[Generation]:
        """See :class:`Model`; each completion is in the journal before the next one is waited for."""
        keys = [self._journal.key("complete", r.prompt, r.until, r.max_gen_toks, *(r.sampling or ())) for r in requests]
        new = self._split(keys, tick)
        questions = [(key, requests[places[0]]) for key, places in new.items()]
        if questions:
            self._load()
            for index, generation in self._engine.stream([request for _, request in questions]):
                key, request = questions[index]
                self._journal.add(key, {"source": request.source, **asdict(generation)})
                self.asked += 1
                tick(len(new[key]))
        names = Generation.__dataclass_fields__
        answers = [self._answer(key) for key in keys]
        return [Generation(**{name: answer[name] for name in names}) for answer in answers]

    def loglikelihoods(self, pairs: Sequence[Any], tick: Tick) -> list[LogLikelihood]:
        """See :class:`Model`; handed to lm-eval's own model in batches."""
        keys = [self._journal.key("loglikelihood", *pair.args) for pair in pairs]
        new = self._split(keys, tick)
        questions = [(key, pairs[places[0]]) for key, places in new.items()]
        for start in range(0, len(questions), PAIRS_AT_ONCE):
            self._load()
            batch = questions[start : start + PAIRS_AT_ONCE]
            model = self._engine.lm
            answers = model.loglikelihood([pair for _, pair in batch], disable_tqdm=True)
            for (key, pair), (value, is_greedy) in zip(batch, answers, strict=True):
                if not math.isfinite(value):
                    raise EngineError(f"{self._checkpoint.label}: the model says {value} for a log-likelihood")
                length = len(model.tok_encode(pair.args[0] + pair.args[1]))
                answer = LogLikelihood(float(value), bool(is_greedy), length, length <= model.max_length - 1)
                self._journal.add(key, {"source": [pair.task_name, pair.doc_id], **asdict(answer)})
                tick(len(new[key]))
            self.asked += len(batch)
        names = LogLikelihood.__dataclass_fields__
        found = [self._answer(key) for key in keys]
        return [LogLikelihood(**{name: answer[name] for name in names}) for answer in found]
