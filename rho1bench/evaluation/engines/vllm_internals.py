"""The private interfaces of vLLM that this package uses; a test checks each against the installed version.

vLLM has no public way to hand out completions one by one in-process, to look at a model class without a process of its
own, to renew the packed weights of a CPU's output layer after a reload, to tell the memory of a GPU before it is used
and the backend that attention takes, or to free the model for another boot.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rho1bench.evaluation.engines import EngineFacts

if TYPE_CHECKING:
    import torch
    from vllm import LLM, RequestOutput, SamplingParams, TokensPrompt


def register_model_classes(architectures: Sequence[str]) -> None:
    """Import vLLM's classes of ``architectures`` here; vLLM would start another process to look at them (10 s)."""
    from vllm import ModelRegistry

    for architecture in architectures:
        entry = ModelRegistry.models.get(architecture)
        if entry is not None and hasattr(entry, "load_model_cls"):
            ModelRegistry.register_model(architecture, entry.load_model_cls())


def completions(
    llm: LLM, inputs: Sequence[TokensPrompt], params: Sequence[SamplingParams]
) -> Iterator[tuple[int, RequestOutput]]:
    """Complete all prompts; yields the index and the output of each at the step that finishes it."""
    if not inputs:
        return
    names = llm.enqueue(inputs, params, use_tqdm=False)
    # vLLM appends random letters to the number that it returns here, but outputs carry the bare number.
    waiting = {name.partition("-")[0]: index for index, name in enumerate(names)}
    try:
        while waiting:
            for output in llm.llm_engine.step():
                if output.finished:
                    yield waiting.pop(output.request_id), output
    finally:
        if waiting:
            llm.llm_engine.abort_request(list(waiting))


def reload_weights(llm: LLM, weights_path: str, *, on_cpu: bool) -> None:
    """Replace the weights in place by those in ``weights_path``, of the same shapes."""
    llm.collective_rpc("reload_weights", kwargs={"weights_path": weights_path})
    if on_cpu:
        llm.apply_model(_repack_output_layer)
    llm.reset_prefix_cache()


def _repack_output_layer(model: torch.nn.Module) -> None:
    """Renew the packed copy of the output layer's weights, which a reload leaves as it was.

    vLLM's CPU build multiplies with a packed copy of each weight. A reload renews the copies of the layers that it
    reads from the checkpoint; an output layer tied to the embeddings is not among them, and would keep the old weights.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in model.modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)


def gpu_memory() -> int | None:
    """Return the bytes of a GPU's memory, asked without touching the device; None where vLLM runs on a CPU."""
    from vllm.platforms import current_platform

    return None if current_platform.is_cpu() else int(current_platform.get_device_total_memory())


def facts(llm: LLM) -> EngineFacts:
    """Return how the loaded model is run; the attention's backend where its layers are in this process."""
    config = llm.llm_engine.vllm_config
    layers = config.compilation_config.static_forward_context.values()
    backends = {layer.get_attn_backend().get_name() for layer in layers if hasattr(layer, "get_attn_backend")}
    found: EngineFacts = {
        "served_dtype": str(config.model_config.dtype).removeprefix("torch."),
        "max_num_seqs": int(config.scheduler_config.max_num_seqs),
        "max_num_batched_tokens": int(config.scheduler_config.max_num_batched_tokens),
    }
    return found | {"attention_backend": ", ".join(sorted(backends))} if backends else found


def is_cpu(llm: LLM) -> bool:
    """Return whether the model runs on a CPU."""
    return bool(llm.llm_engine.vllm_config.device_config.device_type == "cpu")


def tokens_per_step(llm: LLM) -> int:
    """Return how many tokens one step of the scheduler holds at most."""
    return int(llm.llm_engine.vllm_config.scheduler_config.max_num_batched_tokens)


def free_process_state() -> None:
    """Free vLLM's process-wide state, so that another boot can follow."""
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    cleanup_dist_env_and_memory()


def missing_interfaces() -> list[str]:
    """Return what of the above the installed vLLM lacks, for a message that names its version."""
    from vllm import LLM, ModelRegistry
    from vllm.distributed import parallel_state
    from vllm.model_executor.layers.attention import Attention
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, UnquantizedEmbeddingMethod
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    wanted = {
        "Attention.get_attn_backend": (Attention, "get_attn_backend"),
        "current_platform.get_device_total_memory": (current_platform, "get_device_total_memory"),
        "LLM.enqueue": (LLM, "enqueue"),
        "LLM.apply_model": (LLM, "apply_model"),
        "LLM.collective_rpc": (LLM, "collective_rpc"),
        "LLMEngine.step": (LLMEngine, "step"),
        "LLMEngine.abort_request": (LLMEngine, "abort_request"),
        "ModelRegistry.models": (ModelRegistry, "models"),
        "ParallelLMHead.quant_method": (UnquantizedEmbeddingMethod, "process_weights_after_loading"),
        "GPUModelRunner.reload_weights": (GPUModelRunner, "reload_weights"),
        "cleanup_dist_env_and_memory": (parallel_state, "cleanup_dist_env_and_memory"),
    }
    missing = [name for name, (owner, attribute) in wanted.items() if not hasattr(owner, attribute)]
    if "weights_path" not in inspect.signature(GPUModelRunner.reload_weights).parameters:
        missing.append("GPUModelRunner.reload_weights(weights_path=)")
    if "quant_method" not in inspect.getsource(ParallelLMHead.__mro__[1]):
        missing.append("ParallelLMHead.quant_method")
    if not any(hasattr(entry, "load_model_cls") for entry in ModelRegistry.models.values()):
        missing.append("ModelRegistry.models[...].load_model_cls")
    return missing
