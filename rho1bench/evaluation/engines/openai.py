"""The openai engine: a server that speaks OpenAI's completions protocol (vLLM, llama.cpp, SGLang) does the inference.

The client is :class:`rho1bench.system.openai_client.CompletionsServer`. Greedy decoding, so answers do not depend on
who asks besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from rho1bench.errors import EngineError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import (
    EngineFacts,
    EngineSettings,
    Generation,
    Request,
    cut_at,
    fit,
    too_long,
)
from rho1bench.system.openai_client import CompletionOptions, CompletionsServer

if TYPE_CHECKING:
    from openai.types import Completion, CompletionChoice

    from rho1bench.evaluation.engines.openai_lm import ServedLM

_ABOUT_LENGTH = re.compile(r"context|too long|max_tokens|max_model_len|maximum.*tokens", re.IGNORECASE)


class OpenAIEngine:
    """See :class:`rho1bench.evaluation.engines.Engine`; ``extra_body`` goes with every completion."""

    name = "openai"
    dtype = "server"
    answers_version = 1

    def __init__(self, settings: EngineSettings, extra_body: Mapping[str, object] | None = None) -> None:
        assert settings.base_url is not None
        self._server = CompletionsServer(settings.base_url, "--base-url", "--engine openai", settings.batch_size)
        self.boots = 0
        self.settings = replace(settings, batch_size=self._server.concurrency)
        self._extra_body = extra_body
        self._model = ""
        self._tokenizer_folder = Path()
        self._lm: ServedLM | None = None
        self.version = self._server.version

    @property
    def lm(self) -> ServedLM:
        """lm-eval's model for log-likelihoods through this server; made at its first use."""
        if self._lm is None:
            from rho1bench.evaluation.engines.openai_lm import ServedLM

            self._lm = ServedLM(self._echo, self._tokenizer_folder, self._context, self._server.concurrency)
        return self._lm

    @property
    def _context(self) -> int:
        """Context length in tokens: as asked for, or the server's where it publishes a shorter one."""
        served = self._server.context(self._model)
        return min(self.settings.max_model_len, served) if served else self.settings.max_model_len

    def load(self, checkpoint: Checkpoint) -> None:
        """Find the checkpoint among the server's models, by ``--model``, its own name or its folder."""
        names = [self.settings.served_model] if self.settings.served_model else _names(checkpoint)
        self._model, self._lm = self._server.find(names), None
        self._tokenizer_folder = checkpoint.folder
        self.boots += 1

    def facts(self) -> EngineFacts:
        """Return nothing: the server has decided, and does not tell."""
        return {}

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Request all completions; if the server goes away, the finished ones are yielded before the error."""
        return self._server.map(self._complete, requests)

    def _complete(self, request: Request) -> Generation:
        wanted = min(request.max_gen_toks, self._context)
        try:
            reply = self._request(request.prompt, wanted, request.until, **_sampling(request))
        except self._server.BadRequest as error:
            if not _ABOUT_LENGTH.search(str(error)):
                raise
            return self._complete_in_remaining_room(request, str(error))
        return _generation(reply, request.until, wanted)

    def _complete_in_remaining_room(self, request: Request, complaint: str) -> Generation:
        """Complete as far as the context reaches; a request of one token finds the prompt's length."""
        try:
            usage = self._request(request.prompt, 1).usage
            length = usage.prompt_tokens if usage else 0
        except self._server.BadRequest as error:
            if not _ABOUT_LENGTH.search(str(error)):
                raise
            return too_long(0)
        room = fit(length, request.max_gen_toks, self._context)
        if room == 0:
            return too_long(length)
        try:
            reply = self._request(request.prompt, room, request.until, **_sampling(request))
        except self._server.BadRequest as error:
            raise EngineError(
                f"the server refuses a prompt of {length} tokens with room for {room} more ({error}; "
                f"before: {complaint}). "
                "Give the length of its context with --max-model-len."
            ) from error
        return _generation(reply, request.until, room)

    def _request(
        self, prompt: str, max_tokens: int, until: Sequence[str] = (), **options: Unpack[CompletionOptions]
    ) -> Completion:
        if self._extra_body:
            options["extra_body"] = self._extra_body
        return self._server.complete(self._model, prompt, max_tokens, until, **options)

    def _echo(self, tokens: list[int]) -> CompletionChoice:
        """Return the prompt with its log-probabilities (one token must be generated)."""
        try:
            return self._server.complete(self._model, tokens, 1, echo=True, logprobs=1).choices[0]
        except self._server.Error as error:
            raise self._server.wrap_error(error) from error

    def close(self) -> None:
        """Close the connections; the server goes on."""
        self._server.close()


def _sampling(request: Request) -> CompletionOptions:
    if request.sampling is None:
        return {}
    temperature, top_p, seed = request.sampling
    return {"temperature": temperature, "top_p": top_p, "seed": seed}


def _names(checkpoint: Checkpoint) -> list[str]:
    source = checkpoint.source or checkpoint.label
    return list(dict.fromkeys([source, str(checkpoint.folder), str(checkpoint.folder.absolute()), checkpoint.label]))


def _generation(reply: Completion, until: Sequence[str], wanted: int) -> Generation:
    choice, usage = reply.choices[0], reply.usage
    text = cut_at(choice.text, until)
    stopped = choice.finish_reason == "stop" or len(text) < len(choice.text)
    counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, wanted)
    return Generation(text, "stop" if stopped else "length", *counts)
