"""A checkpoint whose answers come from the cache, else from the engine, and then go into the cache.

Stands between lm-eval's requests (``harness.lm_eval_model``) and the engines. The engine loads the checkpoint only when
an answer is missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from rho1bench.errors import EngineError
from rho1bench.evaluation.answer_cache import AnswerCache, CachedAnswer
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import Engine, Generation, Request, Tick
from rho1bench.evaluation.engines.failures import one_message
from rho1bench.evaluation.harness.lm_eval_internals import token_loglikelihoods
from rho1bench.evaluation.harness.lm_eval_types import LMRequest

LOGLIKELIHOOD_BATCH = 128
"""Log-likelihoods are requested, and cached, this many at a time."""


TokenPair = tuple[list[int], list[int]]
"""Context and continuation, as token ids."""


@dataclass(frozen=True)
class LogLikelihood:
    """Log-likelihood of a continuation in nats, and whether it is what greedy decoding would give."""

    value: float
    is_greedy: bool
    num_tokens: int
    """Tokens of context and continuation."""
    fits: bool
    """False if lm-eval had to cut the context at its left."""


class Model(Protocol):
    """What the harness needs of a checkpoint."""

    def complete(self, requests: Sequence[Request], tick: Tick) -> list[Generation]:
        """Complete all prompts in order; ``tick`` is called with the number of further finished requests."""

    def loglikelihoods(self, pairs: Sequence[LMRequest], tick: Tick) -> list[LogLikelihood]:
        """Answer lm-eval's requests for the log-likelihood of (context, continuation), in order."""


class CachedModel:
    """One checkpoint behind an engine and a cache of answers; see :class:`Model`."""

    def __init__(self, engine: Engine, checkpoint: Checkpoint, cache: AnswerCache) -> None:
        self._engine = engine
        self._checkpoint = checkpoint
        self._cache = cache
        self._loaded = False
        self.num_computed = 0
        """Requests that the engine answered."""
        self.num_cached = 0
        """Requests that the cache answered."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that answers."""
        return self._checkpoint

    def _load(self) -> None:
        if not self._loaded:
            self._engine.load(self._checkpoint)
            self._cache.note_engine(self._engine.facts())
            self._loaded = True

    def _missing(self, keys: Sequence[str], tick: Tick) -> dict[str, list[int]]:
        """Return the indices of each request that is not in the cache, by key, with the engine ready for them."""
        missing: dict[str, list[int]] = {}
        for index, key in enumerate(keys):
            if self._cache.find(key) is None:
                missing.setdefault(key, []).append(index)
        known = len(keys) - sum(map(len, missing.values()))
        self.num_cached += known
        if missing:
            self._load()  # before the first tick, from which the time left is reckoned
        tick(known)
        return missing

    def _answer(self, key: str) -> CachedAnswer:
        entry = self._cache.find(key)
        assert entry is not None
        return entry

    def complete(self, requests: Sequence[Request], tick: Tick) -> list[Generation]:
        """See :class:`Model`; each completion is in the cache before the next one is awaited."""
        keys = [self._cache.key("complete", r.prompt, r.until, r.max_gen_toks, *(r.sampling or ())) for r in requests]
        missing = self._missing(keys, tick)
        questions = [(key, requests[indices[0]]) for key, indices in missing.items()]
        if questions:
            for index, generation in self._engine.stream([request for _, request in questions]):
                key, request = questions[index]
                self._cache.add({key: {"source": request.source, **asdict(generation)}})
                self.num_computed += 1
                tick(len(missing[key]))
        names = Generation.__dataclass_fields__
        answers = [self._answer(key) for key in keys]
        return [Generation(**{name: answer[name] for name in names}) for answer in answers]

    def loglikelihoods(self, pairs: Sequence[LMRequest], tick: Tick) -> list[LogLikelihood]:
        """See :class:`Model`; handed to lm-eval's own model in batches."""
        keys = [self._cache.key("loglikelihood", *pair.args) for pair in pairs]
        missing = self._missing(keys, tick)
        questions = [(key, pairs[indices[0]]) for key, indices in missing.items()]
        for start in range(0, len(questions), LOGLIKELIHOOD_BATCH):
            batch = questions[start : start + LOGLIKELIHOOD_BATCH]
            answers = zip(batch, self._score([pair for _, pair in batch]), strict=True)
            self._cache.add(
                {key: {"source": [pair.task_name, pair.doc_id], **asdict(answer)} for (key, pair), answer in answers}
            )
            self.num_computed += len(batch)
            tick(sum(len(missing[key]) for key, _ in batch))
        names = LogLikelihood.__dataclass_fields__
        found = [self._answer(key) for key in keys]
        return [LogLikelihood(**{name: answer[name] for name in names}) for answer in found]

    def token_loglikelihoods(self, pairs: Sequence[TokenPair], tick: Tick) -> list[float]:
        """Return the log-likelihood in nats of each continuation after its context; the pairs fit the context."""
        keys = [self._cache.key("token_loglikelihood", *pair) for pair in pairs]
        missing = self._missing(keys, tick)
        questions = [(key, pairs[indices[0]]) for key, indices in missing.items()]
        for start in range(0, len(questions), LOGLIKELIHOOD_BATCH):
            batch = questions[start : start + LOGLIKELIHOOD_BATCH]
            with one_message(self._engine.name, "score the tokens", self._engine.settings.log):
                values = token_loglikelihoods(self._engine.lm, [pair for _, pair in batch])
            answers = zip(batch, values, strict=True)
            self._cache.add({key: {"value": self._finite(value)} for (key, _), value in answers})
            self.num_computed += len(batch)
            tick(sum(len(missing[key]) for key, _ in batch))
        return [float(self._answer(key)["value"]) for key in keys]

    def _finite(self, value: float) -> float:
        if not math.isfinite(value):
            raise EngineError(f"{self._checkpoint.label}: the log-likelihood of a continuation is {value}")
        return float(value)

    def _score(self, pairs: Sequence[LMRequest]) -> list[LogLikelihood]:
        model = self._engine.lm
        found = []
        with one_message(self._engine.name, "score the continuations", self._engine.settings.log):
            scores = model.loglikelihood(pairs, disable_tqdm=True)
        for pair, (value, is_greedy) in zip(pairs, scores, strict=True):
            length = len(model.tok_encode(pair.args[0] + pair.args[1]))
            fits = length <= model.max_length - 1
            found.append(LogLikelihood(self._finite(value), bool(is_greedy), length, fits))
        return found
