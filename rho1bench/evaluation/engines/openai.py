"""The openai engine: a server that speaks OpenAI's completions protocol (vLLM, llama.cpp, SGLang) does the inference.

Many requests at a time, the client's own retries with growing pauses; what the server finished before it went away is
handed on. Greedy decoding, so answers do not depend on who asks besides.
"""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import Any

from rho1bench.errors import EngineError, MissingPackageError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import EngineSettings, Generation, Request, cut_at, fit, too_long

CONCURRENCY = 64
"""Requests that wait for the server at once; it makes its own batches of them."""
NUM_RETRIES = 5
"""How often a request is made again when the server does not answer; the pauses grow from half a second to eight."""
SECONDS_FOR_AN_ANSWER = 600.0
_STRANGE = (ValueError, AttributeError, TypeError, LookupError)
"""What the client raises when a server answers something else than the protocol says."""
_ABOUT_LENGTH = re.compile(r"context|too long|max_tokens|max_model_len|maximum.*tokens", re.IGNORECASE)


class OpenAIEngine:
    """See :class:`rho1bench.evaluation.engines.Engine`."""

    name = "openai"
    dtype = "server"

    def __init__(self, settings: EngineSettings) -> None:
        try:
            import openai
        except ModuleNotFoundError as error:
            raise MissingPackageError("openai", "--engine openai", "pip install 'rho1bench[openai]'") from error
        assert settings.base_url is not None
        self.boots = 0
        self.settings = settings
        self._openai = openai
        self._client = openai.OpenAI(
            base_url=settings.base_url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=NUM_RETRIES,
            timeout=SECONDS_FOR_AN_ANSWER,
        )
        self._served = self._list_models()
        self._model = ""
        self._tokenizer_folder: Any = None
        self._lm: Any = None
        self.version = self._server_version()

    def _list_models(self) -> dict[str, Any]:
        try:
            models = self._client.with_options(timeout=10).models.list()
        except self._openai.APIConnectionError as error:
            raise EngineError(
                f"no server answers at {self.settings.base_url} ({_cause(error)}). "
                "Start it (vllm serve CHECKPOINT, for example) or correct --base-url."
            ) from error
        except self._openai.OpenAIError as error:
            raise EngineError(f"the server at {self.settings.base_url} does not list its models: {error}") from error
        except _STRANGE as error:
            raise self._not_a_server(error) from error
        return {model.id: model for model in models.data or []}

    def _not_a_server(self, error: object) -> EngineError:
        return EngineError(
            f"{self.settings.base_url} does not speak OpenAI's protocol ({error}); it should end with /v1"
        )

    def _server_version(self) -> str:
        """vLLM tells its version beside the protocol; other servers are named by who owns the model."""
        owner = next((getattr(model, "owned_by", "") for model in self._served.values()), "") or "server"
        try:
            address = f"{str(self.settings.base_url).rstrip('/').removesuffix('/v1')}/version"
            with urllib.request.urlopen(address, timeout=5) as reply:
                return f"{owner} {json.load(reply)['version']}"
        except (OSError, ValueError, KeyError, TypeError):
            return str(owner)

    @property
    def lm(self) -> Any:
        """lm-eval's model for log-likelihoods through this server; made when first asked for."""
        if self._lm is None:
            from rho1bench.evaluation.engines.openai_lm import ServedLM

            self._lm = ServedLM(self._ask_or_tell, self._tokenizer_folder, self._context, CONCURRENCY)
        return self._lm

    @property
    def _context(self) -> int:
        """Tokens of the context: ours, or the server's where it tells of a shorter one."""
        told = getattr(self._served[self._model], "max_model_len", None)
        return min(self.settings.max_model_len, told) if told else self.settings.max_model_len

    def load(self, checkpoint: Checkpoint) -> None:
        """Find the checkpoint among the server's models, by ``--model``, its own name or its folder."""
        names = [self.settings.served_model] if self.settings.served_model else _names(checkpoint)
        found = next((name for name in names if name in self._served), None)
        if found is None:
            raise EngineError(
                f"the server at {self.settings.base_url} does not serve {names[0]!r}; it serves "
                f"{', '.join(map(repr, self._served)) or 'nothing'}. Name one of them with --model."
            )
        self._model, self._lm = found, None
        self._tokenizer_folder = checkpoint.folder
        self.boots += 1

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Ask for all completions; if the server goes away, those that it finished are handed out before the error."""
        failure: BaseException | None = None
        broken = Event()
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            futures = {pool.submit(self._unless, broken, request): place for place, request in enumerate(requests)}
            try:
                for future in as_completed(futures):
                    failure = failure or future.exception()
                    generation = None if future.exception() else future.result()
                    if generation is not None:
                        yield futures[future], generation
            finally:
                broken.set()
        if failure is not None:
            raise self._told(failure) from failure

    def _unless(self, broken: Event, request: Request) -> Generation | None:
        """Complete one prompt, unless another one has failed."""
        if broken.is_set():
            return None
        try:
            return self._complete(request)
        except BaseException:
            broken.set()
            raise

    def _told(self, error: BaseException) -> BaseException:
        if isinstance(error, _STRANGE):
            return self._not_a_server(error)
        if not isinstance(error, self._openai.OpenAIError):
            return error
        what = _cause(error) if isinstance(error, self._openai.APIConnectionError) else str(error)
        return EngineError(
            f"the server at {self.settings.base_url} does not answer as it should ({what}). What it finished is kept: "
            "start it again and give the same command, which continues."
        )

    def _complete(self, request: Request) -> Generation:
        wanted = min(request.max_gen_toks, self._context)
        try:
            reply = self._ask(request.prompt, wanted, request.until, **_sampling(request))
        except self._openai.BadRequestError as error:
            if not _ABOUT_LENGTH.search(str(error)):
                raise
            return self._complete_in_what_room_there_is(request, str(error))
        return _generation(reply, request.until, wanted)

    def _complete_in_what_room_there_is(self, request: Request, complaint: str) -> Generation:
        """One token tells the prompt's length, or that not even that fits."""
        try:
            length = self._ask(request.prompt, 1).usage.prompt_tokens
        except self._openai.BadRequestError as error:
            if not _ABOUT_LENGTH.search(str(error)):
                raise
            return too_long(0)
        room = fit(length, request.max_gen_toks, self._context)
        if room == 0:
            return too_long(length)
        try:
            reply = self._ask(request.prompt, room, request.until, **_sampling(request))
        except self._openai.BadRequestError as error:
            raise EngineError(
                f"the server refuses a prompt of {length} tokens with room for {room} more ({error}; "
                f"before: {complaint}). "
                "Say the length of its context with --max-model-len."
            ) from error
        return _generation(reply, request.until, room)

    def _ask(self, prompt: str | list[int], max_tokens: int, until: Sequence[str] = (), **more: Any) -> Any:
        return self._client.completions.create(
            model=self._model,
            prompt=prompt,
            max_tokens=max_tokens,
            stop=list(until) or None,
            **{"temperature": 0.0, **more},
        )

    def _ask_or_tell(self, prompt: list[int], max_tokens: int, **more: Any) -> Any:
        try:
            return self._ask(prompt, max_tokens, **more)
        except self._openai.OpenAIError as error:
            raise self._told(error) from error

    def close(self) -> None:
        """Close the connections; the server goes on."""
        self._client.close()


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


def _cause(error: BaseException) -> str:
    return str(error.__cause__ or error)
