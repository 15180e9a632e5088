"""The vLLM engine: lm-eval's own ``VLLM`` model, booted once, its weights swapped in place for each further checkpoint.

Float32 on a CPU, eager, no prefix cache: a completion depends on its prompt and the weights alone.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rho1bench.errors import EngineError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import (
    EngineSettings,
    Generation,
    Request,
    context_length,
    cpu_threads,
    fit,
    too_long,
    vllm_internals,
)
from rho1bench.evaluation.engines.vllm_setup import output_to, prepare_vllm
from rho1bench.system.files import read_json

if TYPE_CHECKING:
    from lm_eval.models.vllm_causallms import VLLM
    from vllm import RequestOutput, SamplingParams, TokensPrompt

MAX_CPU_CACHE_BYTES = max(1 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
"""A CPU's KV cache takes an eighth of the memory at most, or 1 GiB on a small machine."""


class VLLMEngine:
    """See :class:`rho1bench.evaluation.engines.Engine`."""

    name = "vllm"

    def __init__(self, settings: EngineSettings) -> None:
        self.version = prepare_vllm()
        self.boots = 0
        self.settings = settings
        self._architecture: str | None = None
        self._lm: VLLM | None = None
        self._on_cpu = self.version.endswith("+cpu")
        self.dtype = "float32" if self._on_cpu else "auto"

    @property
    def lm(self) -> VLLM:
        """lm-eval's ``VLLM``."""
        return self._model

    @property
    def _model(self) -> VLLM:
        assert self._lm is not None, "no checkpoint is loaded"
        return self._lm

    def load(self, checkpoint: Checkpoint) -> None:
        """Boot for a first or different architecture, else swap the weights."""
        architecture = checkpoint.architecture()
        try:
            with output_to(self.settings.log):
                if self._lm is not None and architecture == self._architecture:
                    vllm_internals.reload_weights(self._lm.model, str(checkpoint.folder), on_cpu=self._on_cpu)
                else:
                    self.close()
                    self._boot(checkpoint.folder)
        except (RuntimeError, ValueError, OSError, AssertionError, KeyError) as error:
            raise EngineError(
                f"vLLM cannot load {checkpoint.folder}: {str(error).splitlines()[0] if str(error) else error!r}\n"
                f"Its log is {self.settings.log}. Try --engine hf."
            ) from error
        self._architecture = architecture

    def _boot(self, folder: Path) -> None:
        import torch

        set_num_threads = torch.set_num_threads
        if self._on_cpu:
            threads = cpu_threads(folder, self.settings)
            os.environ["OMP_NUM_THREADS"] = str(threads)
            set_num_threads(threads)
        vllm_internals.register_model_classes(read_json(folder / "config.json").get("architectures") or [])
        from lm_eval.models.vllm_causallms import VLLM

        _log_to(self.settings.log)
        length = context_length(folder, self.settings)
        cache = {"kv_cache_memory_bytes": self._cache_bytes(folder)} if self._on_cpu else {}
        self._lm = VLLM(
            str(folder),
            dtype=self.dtype,
            max_model_len=length,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
            max_num_seqs=self.settings.batch_size,
            max_num_batched_tokens=max(4096, length),
            tensor_parallel_size=self.settings.tensor_parallel_size,
            enforce_eager=self._on_cpu,
            enable_prefix_caching=False,
            use_tqdm_on_load=False,
            **cache,
        )
        self.boots += 1
        # vLLM's CPU worker replaces this function for the whole process; other stages run in it too.
        torch.set_num_threads = set_num_threads

    def _cache_bytes(self, folder: Path) -> int:
        """Room for a full batch of full contexts, within a bound."""
        config, length = read_json(folder / "config.json"), context_length(folder, self.settings)
        heads = config.get("num_key_value_heads") or config.get("num_attention_heads", 16)
        width = config.get("head_dim") or config.get("hidden_size", 2048) // config.get("num_attention_heads", 16)
        token = 2 * config.get("num_hidden_layers", 16) * heads * width * 4
        need = token * self.settings.batch_size * (length + 128)
        return int(max(64 << 20, 2 * token * length, min(need, MAX_CPU_CACHE_BYTES)))

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generation]]:
        """Hand vLLM all prompts that fit, and hand out each completion at the step that ends it."""
        from lm_eval.models.utils import postprocess_generated_text
        from vllm import SamplingParams, TokensPrompt

        if not requests:
            return
        lm = self._model
        ends = [] if lm.eot_token_id is None else [lm.tokenizer.decode(lm.eot_token_id)]
        encoded = lm.tok_encode([request.prompt for request in requests])
        places, inputs, params = [], [], []
        for place, (tokens, request) in enumerate(zip(encoded, requests, strict=True)):
            room = fit(len(tokens), request.max_gen_toks, lm.max_length)
            if room == 0:
                yield place, too_long(len(tokens))
                continue
            stop = list(dict.fromkeys([*request.until, *ends]))
            places.append(place)
            inputs.append(TokensPrompt(prompt_token_ids=tokens))
            temperature, top_p, seed = request.sampling or (0.0, 1.0, None)
            params.append(
                SamplingParams(
                    temperature=temperature,
                    top_p=top_p,
                    seed=seed,
                    max_tokens=room,
                    stop=stop,
                    skip_special_tokens=False,
                )
            )
        for index, output in self._outputs(inputs, params):
            first = output.outputs[0]
            yield (
                places[index],
                Generation(
                    postprocess_generated_text(first.text, params[index].stop, None),
                    "stop" if first.finish_reason == "stop" else "length",
                    len(encoded[places[index]]),
                    len(first.token_ids),
                ),
            )

    def _outputs(
        self, inputs: Sequence[TokensPrompt], params: Sequence[SamplingParams]
    ) -> Iterator[tuple[int, RequestOutput]]:
        llm = self._model.model
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
        self._lm = None
        gc.collect()
        with output_to(self.settings.log):
            vllm_internals.free_process_state()


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


def _log_to(log: Path) -> None:
    """Let vLLM's and lm-eval's chatter go to ``log`` alone."""
    for name in ("vllm", "lm_eval"):
        logger = logging.getLogger(name)
        logger.handlers = [handler for handler in logger.handlers if not isinstance(handler, logging.FileHandler)]
        logger.addHandler(logging.FileHandler(log, encoding="utf-8"))
        logger.propagate = False
        logger.setLevel(logging.INFO)
