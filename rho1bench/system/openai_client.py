"""A client of OpenAI's completions protocol (vLLM, llama.cpp, SGLang), for evaluation and for reference scores.

Many requests at a time, with the client's own retries and growing pauses; completions that the server finished before
it went away are kept.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

from rho1bench.errors import EngineError, MissingPackageError

if TYPE_CHECKING:
    from openai.types import Completion, Model

CONCURRENCY = 64
"""Requests that wait for the server at once where nobody says; it makes its own batches of them."""
MOST_CONNECTIONS = 512
"""Half of the files that a process may usually have open."""
NUM_RETRIES = 5
"""How often a request is made again when the server does not answer; the pauses grow from half a second to eight."""
SECONDS_FOR_AN_ANSWER = 600.0
_PROTOCOL_ERRORS = (ValueError, AttributeError, TypeError, LookupError)
"""What the client raises when a server answers something else than the protocol says."""

T = TypeVar("T")
R = TypeVar("R")


class CompletionOptions(TypedDict, total=False):
    """Options of one completion besides prompt and length; without ``temperature`` it is greedy."""

    temperature: float
    top_p: float
    seed: int
    echo: bool
    logprobs: int
    extra_body: Mapping[str, object]
    """Options beyond the protocol, which only some servers know."""


class CompletionsServer:
    """One server; ``option`` is the command line's name for its address, ``needed_for`` the feature that uses it.

    ``concurrency`` requests wait for it at once, :data:`MOST_CONNECTIONS` at most; default: :data:`CONCURRENCY`.
    Raises EngineError if no server answers or it speaks another protocol, MissingPackageError without ``openai``.
    """

    def __init__(self, base_url: str, option: str, needed_for: str, concurrency: int | None = None) -> None:
        try:
            import openai
        except ModuleNotFoundError as error:
            raise MissingPackageError("openai", needed_for, "pip install 'rho1bench[openai]'") from error
        self.base_url = base_url
        self.concurrency = min(concurrency or CONCURRENCY, MOST_CONNECTIONS)
        self._option = option
        self._openai = openai
        self.Error: type[Exception] = openai.OpenAIError
        self.BadRequest: type[Exception] = openai.BadRequestError
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=NUM_RETRIES,
            timeout=SECONDS_FOR_AN_ANSWER,
        )
        self.models = self._list_models()
        self.version = self._version()

    def _list_models(self) -> dict[str, Model]:
        try:
            models = self._client.with_options(timeout=10).models.list()
        except self._openai.APIConnectionError as error:
            raise EngineError(
                f"no server answers at {self.base_url} ({_cause(error)}). "
                f"Start it (vllm serve CHECKPOINT, for example) or correct {self._option}."
            ) from error
        except self._openai.OpenAIError as error:
            raise EngineError(f"the server at {self.base_url} does not list its models: {error}") from error
        except _PROTOCOL_ERRORS as error:
            raise self._not_a_server(error) from error
        return {model.id: model for model in models.data or []}

    def _not_a_server(self, error: object) -> EngineError:
        return EngineError(f"{self.base_url} does not speak OpenAI's protocol ({error}); it should end with /v1")

    def _version(self) -> str:
        """Return vLLM's version, which it publishes beside the protocol; for other servers the owner of the model."""
        owner = next((getattr(model, "owned_by", "") for model in self.models.values()), "") or "server"
        try:
            address = f"{self.base_url.rstrip('/').removesuffix('/v1')}/version"
            with urllib.request.urlopen(address, timeout=5) as reply:
                return f"{owner} {json.load(reply)['version']}"
        except (OSError, ValueError, KeyError, TypeError):
            return str(owner)

    def find(self, names: Sequence[str]) -> str:
        """Return the first of ``names`` that the server serves; raises EngineError with what it does serve."""
        found = next((name for name in names if name in self.models), None)
        if found is None:
            raise EngineError(
                f"the server at {self.base_url} does not serve {names[0]!r}; it serves "
                f"{', '.join(map(repr, self.models)) or 'nothing'}. Name one of them with --model."
            )
        return found

    def context(self, model: str) -> int | None:
        """Return the context length of a model in tokens, where the server publishes it."""
        length = getattr(self.models[model], "max_model_len", None)
        return int(length) if length else None

    def complete(
        self,
        model: str,
        prompt: str | list[int],
        max_tokens: int,
        until: Sequence[str] = (),
        **options: Unpack[CompletionOptions],
    ) -> Completion:
        """Request one completion; the client's errors pass through (see :meth:`wrap_error`)."""
        options.setdefault("temperature", 0.0)
        return self._client.completions.create(
            model=model, prompt=prompt, max_tokens=max_tokens, stop=list(until) or None, **options
        )

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Yield ``(index, work(item))`` as each is done, ``concurrency`` at a time.

        If the server goes away, the finished items are yielded before the error is raised.
        """
        failure: BaseException | None = None
        broken = Event()
        with ThreadPoolExecutor(self.concurrency) as pool:
            futures = {pool.submit(_unless, broken, work, item): index for index, item in enumerate(items)}
            try:
                for future in as_completed(futures):
                    failure = failure or future.exception()
                    if not future.exception() and (done := future.result()):
                        yield futures[future], done[0]
            finally:
                broken.set()
        if failure is not None:
            raise self.wrap_error(failure) from failure

    def wrap_error(self, error: BaseException) -> BaseException:
        """Return an error of the client as EngineError; any other error unchanged."""
        if isinstance(error, _PROTOCOL_ERRORS):
            return self._not_a_server(error)
        if not isinstance(error, self._openai.OpenAIError):
            return error
        what = _cause(error) if isinstance(error, self._openai.APIConnectionError) else str(error)
        return EngineError(
            f"the server at {self.base_url} does not answer as it should ({what}). What it finished is kept: "
            "start it again and repeat the same command, which continues."
        )

    def close(self) -> None:
        """Close the connections; the server goes on."""
        self._client.close()


def _unless(broken: Event, work: Callable[[T], R], item: T) -> tuple[R] | None:
    """Do the work for one item, unless that for another one has failed."""
    if broken.is_set():
        return None
    try:
        return (work(item),)
    except BaseException:
        broken.set()
        raise


def _cause(error: BaseException) -> str:
    return str(error.__cause__ or error)
