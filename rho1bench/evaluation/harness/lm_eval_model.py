"""The lm-eval models of this package: the one that the harness evaluates, and a base for one that scores token ids.

lm-eval sees an ordinary model; finish reasons, tool calls and prompts that did not fit are kept beside its results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lm_eval.api.model import LM, TemplateLM

from rho1bench.evaluation.cached_model import Model
from rho1bench.evaluation.engines import Generation, Request, Tick
from rho1bench.evaluation.grade_cache import answer_to, is_graded, judge_all
from rho1bench.evaluation.harness.chat import ChatTemplate
from rho1bench.evaluation.harness.lm_eval_types import EncodedPair, LMRequest
from rho1bench.evaluation.tools.tool_loop import ToolSettings, Transcript, run_tool_loop
from rho1bench.system.files import sha256_json

DEFAULT_MAX_GEN_TOKS = 256


@dataclass(frozen=True)
class Answer:
    """How one request ended, for the samples file."""

    finish_reason: str
    num_prompt_tokens: int
    num_tokens: int
    calls: int = 1

    @property
    def truncated(self) -> bool:
        """True if the limit on tokens ended the answer, or the prompt did not fit."""
        return self.finish_reason != "stop"


class _LoglikelihoodsOfTexts:
    """What both models leave out."""

    def loglikelihood_rolling(self, requests: Sequence[LMRequest], disable_tqdm: bool = False) -> list[float]:
        """No task of the suites asks for the likelihood of whole texts."""
        raise NotImplementedError("tasks of output type loglikelihood_rolling are not supported")


class EvaluationLM(_LoglikelihoodsOfTexts, LM):  # type: ignore[misc]
    """Wraps a checkpoint; ``tool_tasks`` names the tasks that are played with tools."""

    def __init__(
        self,
        model: Model,
        tool_tasks: Mapping[str, ToolSettings],
        tick: Tick = lambda _: None,
        chat: ChatTemplate | None = None,
    ) -> None:
        super().__init__()
        self._chat = chat
        self._model = model
        self._tool_tasks = tool_tasks
        self._tick = tick
        self.answers: dict[tuple[str, int], list[Answer]] = {}
        """Answers by task and document, in request order."""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return a chat as a prompt; lm-eval asks for it where ``chat`` is given."""
        assert self._chat is not None, "lm-eval was told that there is no template"
        return self._chat.render(chat_history, add_generation_prompt)

    @property
    def tokenizer_name(self) -> str:
        """Names lm-eval's cache of requests, which is not used."""
        return ""

    def generate_until(self, requests: Sequence[LMRequest], disable_tqdm: bool = False) -> list[str]:
        """Complete every request; those of tool tasks through the tool loop, the rest in one call of the engine."""
        results: dict[int, Generation | Transcript] = {}
        prompts = engine_requests(requests)
        plain = [index for index, request in enumerate(requests) if request.task_name not in self._tool_tasks]
        generations = self._model.complete([prompts[index] for index in plain], self._tick)
        results |= zip(plain, generations, strict=True)
        for settings in dict.fromkeys(self._tool_tasks.values()):
            chosen = [i for i, request in enumerate(requests) if self._tool_tasks.get(request.task_name) == settings]
            transcripts = run_tool_loop([prompts[i] for i in chosen], self._model.complete, settings, self._tick)
            results |= zip(chosen, transcripts, strict=True)
        texts = [self._record(request, results[index]) for index, request in enumerate(requests)]
        _grade_math(requests, texts)
        return texts

    def _record(self, request: LMRequest, result: Generation | Transcript) -> str:
        calls = result.calls if isinstance(result, Transcript) else 1
        answer = Answer(result.finish_reason, result.num_prompt_tokens, result.num_tokens, calls)
        self.answers.setdefault((request.task_name, request.doc_id), []).append(answer)
        return result.text

    def loglikelihood(self, requests: Sequence[LMRequest], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Ask lm-eval's own model; a pair that does not fit is recorded (lm-eval cuts it at the left)."""
        answers = self._model.loglikelihoods(requests, self._tick)
        for request, answer in zip(requests, answers, strict=True):
            reason = "stop" if answer.fits else "prompt_too_long"
            ended = Answer(reason, answer.num_tokens, 0)
            self.answers.setdefault((request.task_name, request.doc_id), []).append(ended)
        return [(answer.value, answer.is_greedy) for answer in answers]


class TokenScoringLM(_LoglikelihoodsOfTexts, TemplateLM):  # type: ignore[misc]
    """A base for log-likelihoods alone: lm-eval splits and tokenizes the pairs, :meth:`score_tokens` answers."""

    backend = "causal"

    def score_tokens(self, pairs: Sequence[EncodedPair]) -> list[tuple[float, bool]]:
        """Return the log-likelihood in nats and whether the continuation is the greedy one, by pair."""
        raise NotImplementedError

    def _loglikelihood_tokens(
        self, requests: Sequence[EncodedPair], disable_tqdm: bool = False, **_: object
    ) -> list[tuple[float, bool]]:
        """Override lm-eval's private hook between tokenizing and scoring; a test checks that it is still there."""
        return self.score_tokens(requests)

    def generate_until(self, requests: Sequence[LMRequest], disable_tqdm: bool = False) -> list[str]:
        """Completions go through the engine."""
        raise NotImplementedError("completions go through the engine")


def _grade_math(requests: Sequence[LMRequest], texts: Sequence[str]) -> None:
    """Grade the math answers among ``texts`` now, all workers at once."""
    pairs = [(request.doc, text) for request, text in zip(requests, texts, strict=True)]
    judge_all(answer_to(doc, text) for doc, text in pairs if is_graded(doc))


def engine_requests(instances: Sequence[LMRequest]) -> list[Request]:
    """Turn lm-eval's requests into the engine's; lm-eval repeats a document once for each sample of it."""
    samples: Counter[tuple[str, int, int]] = Counter()
    found = []
    for instance in instances:
        key = (instance.task_name, instance.doc_id, instance.idx)
        found.append(_engine_request(instance, samples[key]))
        samples[key] += 1
    return found


def _engine_request(instance: LMRequest, sample: int) -> Request:
    prompt, options = instance.args
    until = options.get("until") or []
    sampled = options.get("do_sample", False)
    return Request(
        prompt,
        tuple([until] if isinstance(until, str) else until),
        int(options.get("max_gen_toks", DEFAULT_MAX_GEN_TOKS)),
        (instance.task_name, instance.doc_id),
        temperature=float(options["temperature"]) if sampled else 0.0,
        top_p=float(options.get("top_p", 1.0)) if sampled else 1.0,
        seed=sample_seed(prompt, sample) if sampled else 0,
    )


def sample_seed(prompt: str, sample: int) -> int:
    """Return the seed of a prompt's sample: the same in every run, another one for each sample and prompt."""
    return int(sha256_json([prompt, sample])[:7], 16)
