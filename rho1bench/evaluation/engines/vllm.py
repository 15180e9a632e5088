"""The vLLM engine: lm-eval's own ``VLLM`` model, booted once, its weights swapped in place for each further checkpoint.

Float32 on a CPU, eager, no prefix cache: a completion depends on its prompt and the weights alone.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rho1bench.errors import EngineError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import EngineSettings, Generation, Request, context_length, cpu_threads, fit, too_long
from rho1bench.evaluation.engines.vllm_setup import output_to, prepare_vllm
from rho1bench.system.files import read_json

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
        self._lm: Any = None
        self._on_cpu = self.version.endswith("+cpu")
        self.dtype = "float32" if self._on_cpu else "auto"

    @property
    def lm(self) -> Any:
        """lm-eval's ``VLLM``."""
        return self._lm

    def load(self, checkpoint: Checkpoint) -> None:
        """Boot for a first or different architecture, else swap the weights."""
        architecture = checkpoint.architecture()
        try:
            with output_to(self.settings.log):
                if self._lm is not None and architecture == self._architecture:
                    self._swap(checkpoint.folder)
                else:
                    self.close()
                    self._boot(checkpoint.folder)
        except (RuntimeError, ValueError, OSError, AssertionError, KeyError) as error:
            raise EngineError(
                f"vLLM cannot load {checkpoint.folder}: {str(error).splitlines()[0] if str(error) else error!r}\n"
                f"Its log is {self.settings.log}. Try --engine hf."
            ) from error
        self._architecture = architecture

    def _swap(self, folder: Path) -> None:
        llm = self._lm.model
        llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        if self._on_cpu:
            llm.apply_model(_repack_output_layer)
        llm.reset_prefix_cache()

    def _boot(self, folder: Path) -> None:
        import torch

        set_num_threads = torch.set_num_threads
        if self._on_cpu:
            threads = cpu_threads(folder, self.settings)
            os.environ["OMP_NUM_THREADS"] = str(threads)
            set_num_threads(threads)
        self._register_in_process(folder)
        from lm_eval.models.vllm_causallms import VLLM

        _log_to(self.settings.log)
        length = context_length(folder, self.settings)
        options: dict[str, Any] = {"kv_cache_memory_bytes": self._cache_bytes(folder)} if self._on_cpu else {}
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
            **options,
        )
        self.boots += 1
        # vLLM's CPU worker replaces this function for the whole process; other stages run in it too.
        torch.set_num_threads = set_num_threads

    def _register_in_process(self, folder: Path) -> None:
        """Hand vLLM the model class, which it would otherwise look at in a fresh process of its own (10 s)."""
        from vllm import ModelRegistry

        for architecture in read_json(folder / "config.json").get("architectures") or []:
            entry = ModelRegistry.models.get(architecture)
            if entry is not None and hasattr(entry, "load_model_cls"):
                ModelRegistry.register_model(architecture, entry.load_model_cls())

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
        lm = self._lm
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
        for index, output in self._all_outputs(inputs, params):
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

    def _all_outputs(self, inputs: list[Any], params: list[Any]) -> Iterator[tuple[int, Any]]:
        config = self._lm.model.llm_engine.vllm_config
        on_cpu = config.device_config.device_type == "cpu"
        lengths = [
            len(tokens["prompt_token_ids"]) if on_cpu and p.seed is not None else 0
            for tokens, p in zip(inputs, params, strict=True)
        ]
        for batch in whole_prompts(lengths, config.scheduler_config.max_num_batched_tokens):
            for index, output in self._outputs([inputs[i] for i in batch], [params[i] for i in batch]):
                yield batch[index], output

    def _outputs(self, inputs: list[Any], params: list[Any]) -> Iterator[tuple[int, Any]]:
        if not inputs:
            return
        engine = self._lm.model.llm_engine
        names = self._lm.model.enqueue(inputs, params, use_tqdm=False)
        # vLLM adds random letters to the number that it hands back, and tells the bare number with the output.
        waiting = {name.partition("-")[0]: index for index, name in enumerate(names)}
        try:
            while waiting:
                for output in engine.step():
                    if output.finished:
                        yield waiting.pop(output.request_id), output
        finally:
            if waiting:
                engine.abort_request(list(waiting))

    def close(self) -> None:
        """Free the model and vLLM's process-wide state, so that another boot can follow."""
        if self._lm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self._lm = None
        gc.collect()
        with output_to(self.settings.log):
            cleanup_dist_env_and_memory()


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


def _repack_output_layer(model: Any) -> None:
    """Renew the packed copy of the output layer's weights, which a reload leaves as it was.

    vLLM's CPU build multiplies with a packed copy of each weight. A reload renews the copies of the layers that it
    reads from the checkpoint; an output layer tied to the embeddings is not among them, and would keep the old weights.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in model.modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)


def _log_to(log: Path) -> None:
    """Let vLLM's and lm-eval's chatter go to ``log`` alone."""
    for name in ("vllm", "lm_eval"):
        logger = logging.getLogger(name)
        logger.handlers = [handler for handler in logger.handlers if not isinstance(handler, logging.FileHandler)]
        logger.addHandler(logging.FileHandler(log, encoding="utf-8"))
        logger.propagate = False
        logger.setLevel(logging.INFO)
