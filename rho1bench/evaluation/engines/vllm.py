"""The vLLM engine: lm-eval's own ``VLLM`` model, booted once, its weights swapped in place for each further checkpoint.

Float32 on a CPU, eager, no prefix cache: a completion depends on its prompt and the weights alone. On a GPU what the
prompts have in common is made once, and as much is in work as its memory holds (``device_sizes``).
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import (
    DEFAULT_BATCH_SIZE,
    EngineFacts,
    EngineSettings,
    FinishReason,
    Generation,
    Request,
    context_length,
    cpu_threads,
    cut_at,
    fit,
    too_long,
    vllm_internals,
    with_batch_size,
)
from rho1bench.evaluation.engines.codec import Codec
from rho1bench.evaluation.engines.device_sizes import EngineSizes, by_prefix, engine_sizes
from rho1bench.evaluation.engines.failures import one_message
from rho1bench.evaluation.engines.vllm_setup import output_to, prepare_vllm
from rho1bench.system.files import read_json

if TYPE_CHECKING:
    from lm_eval.models.vllm_causallms import VLLM
    from vllm import RequestOutput, SamplingParams, TokensPrompt

MAX_CPU_CACHE_BYTES = max(1 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
"""A CPU's KV cache takes an eighth of the memory at most, or 1 GiB on a small machine."""
_TOKENS_A_STEP = 4096
"""Of prompts and answers together, in one step of the scheduler on a CPU."""


class VLLMEngine:
    """See :class:`rho1bench.evaluation.engines.Engine`."""

    name = "vllm"
    answers_version = 2

    def __init__(self, settings: EngineSettings) -> None:
        self.version = prepare_vllm()
        self.boots = 0
        self._on_cpu = self.version.endswith("+cpu")
        settings = with_batch_size(settings) if self._on_cpu else settings
        self.settings = replace(settings, prefix_caching=not self._on_cpu)
        self._swap_key: str | None = None
        self._lm: VLLM | None = None
        self._codec: Codec | None = None
        self.dtype = settings.dtype or ("float32" if self._on_cpu else "auto")

    @property
    def lm(self) -> VLLM:
        """lm-eval's ``VLLM``."""
        assert self._lm is not None, "no checkpoint is loaded"
        return self._lm

    @property
    def codec(self) -> Codec:
        """The served checkpoints' tokenizer."""
        assert self._codec is not None, "no checkpoint is loaded"
        return self._codec

    def load(self, checkpoint: Checkpoint) -> None:
        """Exchange the weights if nothing else differs from the served checkpoint, else boot."""
        key = checkpoint.swap_key()
        checkpoint.check_names_of_weights()
        with one_message(self.name, f"load {checkpoint.folder}", self.settings.log), output_to(self.settings.log):
            if self._lm is not None and key == self._swap_key:
                self._swap_key = None  # a reload that fails half-way leaves no usable model
                vllm_internals.reload_weights(self._lm.model, str(checkpoint.folder), on_cpu=self._on_cpu)
            else:
                self.close()
                with _own_set_num_threads():
                    self._boot(checkpoint.folder)
        self._swap_key = key

    def _boot(self, folder: Path) -> None:
        import torch

        if self._on_cpu:
            threads = cpu_threads(folder, self.settings)
            os.environ["OMP_NUM_THREADS"] = str(threads)
            torch.set_num_threads(threads)
        vllm_internals.register_model_classes(read_json(folder / "config.json").get("architectures") or [])
        from lm_eval.models.vllm_causallms import VLLM

        _log_to(self.settings.log)
        length, sizes = context_length(folder, self.settings), scheduler_sizes(folder, self.settings, self.dtype)
        cache = {"kv_cache_memory_bytes": _cache_bytes(folder, sizes, length)} if self._on_cpu else {}
        codec = Codec(folder)
        self._lm = VLLM(
            str(folder),
            dtype=self.dtype,
            max_model_len=length,
            batch_size=sizes.max_num_seqs,
            seed=self.settings.seed,
            max_num_seqs=sizes.max_num_seqs,
            max_num_batched_tokens=sizes.max_num_batched_tokens,
            tensor_parallel_size=self.settings.tensor_parallel_size,
            enforce_eager=self._on_cpu,
            enable_prefix_caching=self.settings.prefix_caching,
            use_tqdm_on_load=False,
            prefix_token_id=codec.prefix_id,
            **cache,
        )
        self._codec = codec
        self.boots += 1

    def facts(self) -> EngineFacts:
        """See :class:`rho1bench.evaluation.engines.Engine`."""
        return vllm_internals.facts(self.lm.model)

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Hand vLLM all prompts that fit, and hand out each completion at the step that ends it."""
        with one_message(self.name, "complete the prompts", self.settings.log):
            yield from self._stream(requests)

    def _stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        from vllm import TokensPrompt

        codec = self.codec
        places, inputs, params = [], [], []
        for place, request in enumerate(requests):
            tokens = codec.encode(request.prompt)
            room = fit(len(tokens), request.max_gen_toks, self.lm.max_length)
            if room == 0:
                yield place, too_long(len(tokens))
                continue
            places.append(place)
            inputs.append(TokensPrompt(prompt_token_ids=tokens))
            params.append(_sampling_params(request, room, codec.end_ids))
        if self.settings.prefix_caching:
            order = by_prefix([tokens["prompt_token_ids"] for tokens in inputs])
            places, inputs, params = ([items[place] for place in order] for items in (places, inputs, params))
        for index, output in self._outputs(inputs, params):
            first, prompt_ids = output.outputs[0], inputs[index]["prompt_token_ids"]
            text = cut_at(codec.text(prompt_ids, first.token_ids), requests[places[index]].until)
            reason: FinishReason = "stop" if first.finish_reason == "stop" else "length"
            yield places[index], Generation(text, reason, len(prompt_ids), len(first.token_ids))

    def _outputs(
        self, inputs: Sequence[TokensPrompt], params: Sequence[SamplingParams]
    ) -> Iterator[tuple[int, RequestOutput]]:
        llm = self.lm.model
        on_cpu = vllm_internals.is_cpu(llm)
        lengths = [
            len(tokens["prompt_token_ids"]) if on_cpu and p.seed is not None else 0
            for tokens, p in zip(inputs, params, strict=True)
        ]
        for batch in whole_prompts(lengths, vllm_internals.tokens_per_step(llm)):
            found = vllm_internals.completions(llm, [inputs[i] for i in batch], [params[i] for i in batch])
            for index, output in found:
                yield batch[index], output

    def close(self) -> None:
        """Free the model and vLLM's process-wide state, so that another boot can follow."""
        if self._lm is None:
            return
        self._lm = self._codec = None
        gc.collect()
        with output_to(self.settings.log):
            vllm_internals.free_process_state()


def scheduler_sizes(folder: Path, settings: EngineSettings, dtype: str) -> EngineSizes:
    """Return what vLLM has in work at once: as asked for on a CPU, else sized to the memory of the GPUs."""
    length = context_length(folder, settings)
    memory = vllm_internals.gpu_memory()
    if memory is None:
        return EngineSizes(settings.batch_size or DEFAULT_BATCH_SIZE, max(_TOKENS_A_STEP, length))
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    token = _kv_bytes(folder) * (2 if dtype == "float32" else 1)
    return engine_sizes(memory * settings.tensor_parallel_size, weights, token, length, settings.batch_size)


def _kv_bytes(folder: Path) -> int:
    """Return what a token takes in the KV cache, in bytes, at two bytes a number; 1 for a model without attention."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder).get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    if not heads:
        return 1
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(2 * config.num_hidden_layers * (getattr(config, "num_key_value_heads", None) or heads) * width * 2)


def _cache_bytes(folder: Path, sizes: EngineSizes, length: int) -> int:
    """Return room for a full batch of full contexts in float32, within a bound."""
    token = 2 * _kv_bytes(folder)
    need = token * sizes.max_num_seqs * (length + 128)
    return int(max(64 << 20, 2 * token * length, min(need, MAX_CPU_CACHE_BYTES)))


def _sampling_params(request: Request, room: int, end_ids: Iterable[int]) -> SamplingParams:
    from vllm import SamplingParams

    temperature, top_p, seed = request.sampling or (0.0, 1.0, None)
    return SamplingParams(
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        max_tokens=room,
        stop=list(request.until),
        stop_token_ids=sorted(end_ids),
        skip_special_tokens=False,
    )


def whole_prompts(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Split requests into batches that vLLM gets one after the other: those of length 0 at once, first.

    The others are seeded requests on a CPU. A prompt that vLLM spreads over two steps makes it take back a draw, which
    a CPU's random generator cannot; so each batch has at most ``budget`` tokens, the most that one step holds, with one
    more for each request that is already under way.
    """
    free = [place for place, length in enumerate(lengths) if length == 0]
    batches = [free] if free else []
    room = 0
    for place, length in enumerate(lengths):
        if length == 0:
            continue
        if length + 1 > room:
            batches.append([])
            room = budget
        batches[-1].append(place)
        room -= length + 1
    return batches


@contextmanager
def _own_set_num_threads() -> Iterator[None]:
    """Restore torch's function: vLLM's CPU worker replaces it for the whole process, in which other stages run too."""
    import torch

    function = torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = function


def _log_to(log: Path) -> None:
    """Let vLLM's and lm-eval's chatter go to ``log`` alone."""
    for name in ("vllm", "lm_eval"):
        logger = logging.getLogger(name)
        logger.handlers = [handler for handler in logger.handlers if not isinstance(handler, logging.FileHandler)]
        logger.addHandler(logging.FileHandler(log, encoding="utf-8"))
        logger.propagate = False
        logger.setLevel(logging.INFO)
