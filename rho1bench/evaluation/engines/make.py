"""Makes the engine that is asked for; ``auto`` is vLLM where it works, else transformers, and says which.

Each engine is imported only when it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from rho1bench.errors import EngineError
from rho1bench.evaluation.engines import Engine, EngineSettings
from rho1bench.sizing.attention_heads import VLLM_CPU_HEAD_SIZES, unserved_head_size


def make_engine(name: str, settings: EngineSettings, message: Callable[[str], None] = lambda _: None) -> Engine:
    """Return the engine called ``name`` (``auto``, ``vllm``, ``hf`` or ``openai``) without loading a model yet.

    Raises:
        EngineError: the name is unknown, the engine is not installed or does not fit the settings or the models, or its
            server cannot be reached.
    """
    unserved = unserved_head_size(settings.head_sizes)
    if name == "auto" and unserved is not None:
        message(f"engine auto: {_no_heads(unserved)}; using the hf engine (transformers)")
        name = "hf"
    if name == "auto":
        name = choose_engine(message)
    if name == "vllm" and unserved is not None:
        known = ", ".join(map(str, VLLM_CPU_HEAD_SIZES))
        raise EngineError(f"engine 'vllm': {_no_heads(unserved)}, only {known}. Use --engine hf.")
    if settings.base_url is not None and name != "openai":
        raise EngineError(f"--base-url goes with --engine openai, not with {name}: the server does the inference")
    if name == "openai" and settings.dtype is not None:
        raise EngineError("--dtype goes with engines that load the weights here; a server has chosen its own")
    if name != "vllm" and max(settings.tensor_parallel_size, settings.data_parallel_size) > 1:
        raise EngineError(f"--tensor-parallel-size and --data-parallel-size go with --engine vllm, not with {name}")
    copies = max(settings.data_parallel_size, settings.spare_gpus // settings.tensor_parallel_size)
    if name == "vllm" and copies > 1:
        from rho1bench.evaluation.engines.vllm_server import ServedVLLM

        return ServedVLLM(replace(settings, data_parallel_size=copies))
    if name == "vllm":
        from rho1bench.evaluation.engines.vllm import VLLMEngine

        return VLLMEngine(settings)
    if name == "hf":
        from rho1bench.evaluation.engines.hf import HFEngine

        return HFEngine(settings)
    if name == "openai":
        from rho1bench.evaluation.engines.openai import OpenAIEngine

        return OpenAIEngine(settings)
    raise EngineError(f"engine {name!r} is unknown; expected auto, vllm, hf or openai")


def _no_heads(size: int) -> str:
    return f"vLLM's CPU engine has no attention heads of size {size}"


def choose_engine(message: Callable[[str], None] = lambda _: None) -> Literal["vllm", "hf"]:
    """Return the engine that ``auto`` stands for here, and report it."""
    from rho1bench.evaluation.engines.vllm_setup import prepare_vllm, vllm_version

    if vllm_version() is None:
        message("engine auto: vLLM is not installed, using the hf engine (transformers)")
        return "hf"
    try:
        version = prepare_vllm()
        import vllm  # noqa: F401
    except EngineError:
        raise
    except Exception as error:
        message(f"engine auto: vLLM cannot be imported ({error}); using the hf engine (transformers)")
        return "hf"
    message(f"engine auto: vLLM {version}")
    return "vllm"
