"""The openai engine: a server that speaks OpenAI's completions protocol (vLLM, llama.cpp, SGLang) does the inference.

The client is :class:`rho1bench.system.openai_client.CompletionsServer`. Greedy decoding, so answers do not depend on
who asks besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rho1bench.errors import EngineError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import EngineSettings, Generation, Request, cut_at, fit, too_long
from rho1bench.system import openai_client
from rho1bench.system.openai_client import CompletionsServer

_ABOUT_LENGTH = re.compile(r"context|too long|max_tokens|max_model_len|maximum.*tokens", re.IGNORECASE)


class OpenAIEngine:
    """See :class:`rho1bench.evaluation.engines.Engine`."""

    name = "openai"
    dtype = "server"

    def __init__(self, settings: EngineSettings) -> None:
        assert settings.base_url is not None
        self._server = CompletionsServer(settings.base_url, "--base-url", "--engine openai")
        self.boots = 0
        self.settings = settings
        self._model = ""
        self._tokenizer_folder: Any = None
        self._lm: Any = None
        self.version = self._server.version

    @property
    def lm(self) -> Any:
        """lm-eval's model for log-likelihoods through this server; made when first asked for."""
        if self._lm is None:
            from rho1bench.evaluation.engines.openai_lm import ServedLM

            self._lm = ServedLM(self._ask_or_tell, self._tokenizer_folder, self._context, openai_client.CONCURRENCY)
        return self._lm

    @property
    def _context(self) -> int:
        """Tokens of the context: ours, or the server's where it tells of a shorter one."""
        told = self._server.context(self._model)
        return min(self.settings.max_model_len, told) if told else self.settings.max_model_len

    def load(self, checkpoint: Checkpoint) -> None:
        """Find the checkpoint among the server's models, by ``--model``, its own name or its folder."""
        names = [self.settings.served_model] if self.settings.served_model else _names(checkpoint)
        self._model, self._lm = self._server.find(names), None
        self._tokenizer_folder = checkpoint.folder
        self.boots += 1

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Ask for all completions; if the server goes away, those that it finished are handed out before the error."""
        return self._server.each(self._complete, requests)

    def _complete(self, request: Request) -> Generation:
        wanted = min(request.max_gen_toks, self._context)
        try:
            reply = self._ask(request.prompt, wanted, request.until, **_sampling(request))
        except self._server.BadRequest as error:
            if not _ABOUT_LENGTH.search(str(error)):
                raise
            return self._complete_in_what_room_there_is(request, str(error))
        return _generation(reply, request.until, wanted)

    def _complete_in_what_room_there_is(self, request: Request, complaint: str) -> Generation:
        """One token tells the prompt's length, or that not even that fits."""
        try:
            length = self._ask(request.prompt, 1).usage.prompt_tokens
        except self._server.BadRequest as error:
            if not _ABOUT_LENGTH.search(str(error)):
                raise
            return too_long(0)
        room = fit(length, request.max_gen_toks, self._context)
        if room == 0:
            return too_long(length)
        try:
            reply = self._ask(request.prompt, room, request.until, **_sampling(request))
        except self._server.BadRequest as error:
            raise EngineError(
                f"the server refuses a prompt of {length} tokens with room for {room} more ({error}; "
                f"before: {complaint}). "
                "Say the length of its context with --max-model-len."
            ) from error
        return _generation(reply, request.until, room)

    def _ask(self, prompt: str | list[int], max_tokens: int, until: Sequence[str] = (), **more: Any) -> Any:
        return self._server.ask(self._model, prompt, max_tokens, until, **more)

    def _ask_or_tell(self, prompt: list[int], max_tokens: int, **more: Any) -> Any:
        try:
            return self._ask(prompt, max_tokens, **more)
        except self._server.Error as error:
            raise self._server.told(error) from error

    def close(self) -> None:
        """Close the connections; the server goes on."""
        self._server.close()


def _sampling(request: Request) -> dict[str, Any]:
    if request.sampling is None:
        return {}
    temperature, top_p, seed = request.sampling
    return {"temperature": temperature, "top_p": top_p, "seed": seed}


def _names(checkpoint: Checkpoint) -> list[str]:
    source = checkpoint.source or checkpoint.label
    return list(dict.fromkeys([source, str(checkpoint.folder), str(checkpoint.folder.absolute()), checkpoint.label]))


def _generation(reply: Any, until: Sequence[str], wanted: int) -> Generation:
    choice, usage = reply.choices[0], reply.usage
    text = cut_at(choice.text, until)
    stopped = choice.finish_reason == "stop" or len(text) < len(choice.text)
    counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, wanted)
    return Generation(text, "stop" if stopped else "length", *counts)
