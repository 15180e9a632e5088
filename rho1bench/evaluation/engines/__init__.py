"""The inference engines behind one small interface: vLLM, transformers, and servers that speak OpenAI's protocol.

Chosen by ``--engine auto|vllm|hf|openai``; everything else talks to :class:`Engine` only. ``auto`` is vLLM where it is
installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from rho1bench.evaluation.checkpoint_settings import model_context
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.harness.lm_eval_types import LanguageModel

SMALL_MODEL_BYTES = 200 << 20
"""Below this size of weights a second CPU thread costs more in waiting than it gives."""

DEFAULT_BATCH_SIZE = 256
"""Prompts in work at once where nobody says how many, and no accelerator's memory."""

FinishReason = Literal["stop", "length", "prompt_too_long"]
Tick = Callable[[int], None]
EngineFacts = dict[str, int | str | bool]
"""What an engine decides for itself when it loads a checkpoint, for the record."""


@dataclass(frozen=True)
class Generation:
    """One completion; ``length`` means the limit on new tokens or the context ended it."""

    text: str
    finish_reason: FinishReason
    num_prompt_tokens: int
    num_tokens: int


@dataclass(frozen=True)
class Request:
    """One prompt to complete, with the stop strings and the limit that its task sets; greedily at temperature 0."""

    prompt: str
    until: tuple[str, ...]
    max_gen_toks: int
    source: tuple[str, int] | None = None
    """Task and document, for people who read the cached answers."""
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    """Decides the draws at a temperature above 0, whatever else is in the batch."""

    @property
    def sampling(self) -> tuple[float, float, int] | None:
        """Temperature, top_p and seed; None for a greedy completion."""
        return (self.temperature, self.top_p, self.seed) if self.temperature > 0 else None


@dataclass(frozen=True)
class EngineSettings:
    """The settings of an engine; ``max_model_len`` is in tokens, ``log`` receives its output."""

    max_model_len: int
    batch_size: int | None
    """Prompts in work at once, of each copy of the model; None: :data:`DEFAULT_BATCH_SIZE`, of vllm on a GPU what its
    memory holds, of a server 64."""
    log: Path
    num_threads: int | None = None
    seed: int = 0
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    spare_gpus: int = 0
    """GPUs for further copies of the model where the engine can serve several; others have one all the same."""
    base_url: str | None = None
    """Where the server of the openai engine listens, ``http://host:port/v1``."""
    served_model: str | None = None
    """The server's name for the model, where it differs from the checkpoint's."""
    dtype: str | None = None
    """Precision of weights and products, as torch names it; None: the engine's own choice."""
    base: str | None = None
    """The model that the command names for adapters: recorded, read by no engine."""
    prefix_caching: bool = False
    """Prompts that begin alike, as few-shot ones do, share what the model has made of it; vllm sets it on a GPU."""
    head_sizes: tuple[int, ...] = ()
    """Sizes of the attention heads that have to be served, where they are known."""


class Engine(Protocol):
    """Holds one checkpoint at a time."""

    name: str
    version: str
    dtype: str
    settings: EngineSettings
    boots: int
    """How often the engine was started from nothing."""
    answers_version: int
    """Rises when the engine answers the same request otherwise; cached answers of other versions are not used."""

    @property
    def lm(self) -> LanguageModel:
        """lm-eval's model of the loaded checkpoint, for log-likelihoods."""

    def load(self, checkpoint: Checkpoint) -> None:
        """Serve ``checkpoint`` from now on; raises EngineError or CheckpointError."""

    def facts(self) -> EngineFacts:
        """Return what the engine decided for itself about the loaded checkpoint."""

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Complete all prompts; yields place and completion of each as it finishes, in any order."""

    def close(self) -> None:
        """Free the model."""


def with_batch_size(settings: EngineSettings) -> EngineSettings:
    """Return the settings with the default number of prompts in work at once, if they have none."""
    return replace(settings, batch_size=settings.batch_size or DEFAULT_BATCH_SIZE)


def cpu_threads(folder: Path, settings: EngineSettings) -> int:
    """Return the number of CPU threads: as asked for, else one for a small model and all cores for a larger one."""
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return settings.num_threads or (1 if size < SMALL_MODEL_BYTES else os.cpu_count() or 1)


def context_length(folder: Path, settings: EngineSettings) -> int:
    """Return the context in tokens: as asked for, or the model's own if that is shorter."""
    limit = model_context(folder)
    return min(settings.max_model_len, limit) if limit else settings.max_model_len


def fit(num_prompt_tokens: int, max_gen_toks: int, max_model_len: int) -> int:
    """Return how many new tokens there is room for; 0 if the prompt leaves no room at all."""
    return max(0, min(max_gen_toks, max_model_len - num_prompt_tokens))


def too_long(num_prompt_tokens: int) -> Generation:
    """Return the empty completion of a prompt that does not fit; it is reported, never cut."""
    return Generation("", "prompt_too_long", num_prompt_tokens, 0)


def cut_at(text: str, until: Sequence[str]) -> str:
    """Return ``text`` up to the first of the stop strings."""
    return text[: min((text.index(stop) for stop in until if stop in text), default=len(text))]
