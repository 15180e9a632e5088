"""A Hugging Face causal language model: loading one whole, its backbone and head, and measuring it without a trace.

:func:`load_model` is the one door for weights from disk, and refuses those that the model would not be whole with. The
selective loss takes the model apart into backbone and output head (paper section 2.2), which :func:`check_head` tests.
Shapes: B sequences, T positions, C rows of a chunk, D hidden size, V vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from rho1bench.errors import CheckpointError
from rho1bench.modeling.chunked_logits import ChunkedLogits, OutputHead
from rho1bench.modeling.library_internals import one_sequence_a_row
from rho1bench.modeling.load_checks import LoadReport, check_files, check_report, check_tied, check_values, reason_of
from rho1bench.system.files import sha256_file, sha256_json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def quiet_transformers() -> None:
    """Turn off the library's progress bars and warnings, and torchao's; ours show the life of a run."""
    from transformers.utils import logging as library

    library.set_verbosity_error()
    library.disable_progress_bar()
    for name in ("torchao", "torch.utils._pytree"):  # where torchao is, transformers imports it
        logging.getLogger(name).setLevel(logging.ERROR)


def load_model(
    folder: Path, dtype: str = "float32", *, name: str | None = None, trust_remote_code: bool = False
) -> PreTrainedModel:
    """Load a checkpoint's safetensors with weights of ``dtype``.

    Args:
        folder: the checkpoint.
        dtype: precision of the weights in memory, as torch names it.
        name: what messages call the checkpoint; default: the folder.
        trust_remote_code: run model code that the folder brings along.

    Raises:
        CheckpointError: it is no checkpoint; or its weights are not those of the model that its config.json describes,
            so that some would be left random or left out; or they hold NaN or infinity.
    """
    model = _load(folder, dtype, name or str(folder), trust_remote_code)
    check_values(name or str(folder), model)
    return model


def check_weights(folder: Path, *, name: str | None = None) -> None:
    """Raise CheckpointError as :func:`load_model` does, from the names and shapes in the files alone.

    For engines that load the weights by code of their own.
    """
    _load(folder, "auto", name or str(folder), device_map="meta")


def _load(
    folder: Path, dtype: str, name: str, trust_remote_code: bool = False, device_map: str | None = None
) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    check_files(folder, name)
    quiet_transformers()
    try:
        found = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            device_map=device_map,
            ignore_mismatched_sizes=True,  # they are refused below, with their names
            output_loading_info=True,
        )
    except Exception as error:  # a configuration that no library has foreseen raises whatever it meets first
        raise CheckpointError(
            f"{name}: these weights cannot be loaded: {reason_of(error)}\nExpected config.json and *.safetensors. "
            "Code that a checkpoint brings along runs only from a folder, and only with `trust_remote_code: true`."
        ) from error
    model, report = cast("tuple[PreTrainedModel, LoadReport]", found)
    check_report(name, type(model).__name__, report)
    check_tied(name, folder, model)
    return model


def weights_sha256(folder: Path) -> str:
    """Return the hash that names a checkpoint's weights: of model.safetensors, or of its shards' hashes."""
    single = folder / "model.safetensors"
    if single.is_file():
        return sha256_file(single)
    shards = sorted(folder.glob("model-*.safetensors"))
    if not shards:
        raise CheckpointError(f"{folder}: holds no model weights (model.safetensors is missing).")
    return sha256_json([sha256_file(path) for path in shards])


def backbone(model: PreTrainedModel) -> nn.Module:
    """Return the part of the model that gives hidden states."""
    return model.base_model


def hidden_states(model: PreTrainedModel, tokens_BT: Tensor, positions_BT: Tensor | None = None) -> Tensor:
    """Return the last hidden states, (B, T, D), without a wait for the device.

    ``positions_BT`` that begin anew in a row keep its documents apart; finding where they do takes a wait.
    """
    if positions_BT is not None:
        found = backbone(model)(input_ids=tokens_BT, position_ids=positions_BT, use_cache=False)
    else:
        with one_sequence_a_row():
            found = backbone(model)(input_ids=tokens_BT, use_cache=False)
    hidden_BTD: Tensor = found.last_hidden_state
    return hidden_BTD


def output_head(model: PreTrainedModel) -> OutputHead:
    """Return what makes logits of hidden states; raises CheckpointError for a model without an output embedding.

    A forward pass of the model must be under way where its parameters are sharded (FSDP), so that they are whole.
    """
    embedding = model.get_output_embeddings()
    weight, bias = getattr(embedding, "weight", None), getattr(embedding, "bias", None)
    if not isinstance(weight, Tensor):
        raise CheckpointError(f"{type(model).__name__}: has no output embedding; expected a causal language model.")
    config = model.config.get_text_config()
    return OutputHead(weight, bias, _scale(config), getattr(config, "final_logit_softcapping", None))


def _scale(config: PreTrainedConfig) -> float:
    """Return what the model multiplies its logits by."""
    for name in ("logit_scale", "lm_head_multiplier"):  # Cohere; Falcon-H1
        if isinstance(value := getattr(config, name, None), int | float):
            return float(value)
    scaling = getattr(config, "logits_scaling", None)
    if isinstance(scaling, int | float):  # Granite divides by it, HyperCLOVA X multiplies.
        return float(scaling) if "hyperclovax" in config.model_type else 1.0 / float(scaling)
    return 1.0


def context_length(model: PreTrainedModel) -> int | None:
    """Return how many tokens the model reads at most; None for one that sets no bound."""
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "max_seq_len"):  # the second one is MPT's
        if isinstance(length := getattr(config, name, None), int):
            return length
    return None


def vocabulary_size(model: PreTrainedModel) -> int:
    """Return how many token ids the model knows."""
    return int(model.config.get_text_config().vocab_size)


@dataclass(frozen=True)
class LoadedSize:
    """The :class:`~rho1bench.sizing.flops.ModelSize` of a model in memory."""

    num_parameters: int
    matrix_parameters: int
    head_parameters: int
    attention_width: int


def size_of_model(lm: PreTrainedModel) -> LoadedSize:
    """Count the weights of a model; of a mixture of experts only as many as a token is sent to are multiplied."""
    config = lm.config.get_text_config()
    head = output_head(lm).weight_VD
    looked_up = {id(module.weight) for module in lm.modules() if isinstance(module, nn.Embedding)}
    matrices = {
        name: weight.numel()
        for name, weight in lm.named_parameters()
        if weight.dim() > 1 and weight is not head and id(weight) not in looked_up
    }
    num_experts = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)
    experts = sum(numel for name, numel in matrices.items() if ".experts." in name) if num_experts else 0
    idle = experts - experts * config.num_experts_per_tok // num_experts if num_experts else 0
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return LoadedSize(
        num_parameters=sum(weight.numel() for weight in lm.parameters()),
        matrix_parameters=sum(matrices.values()) - idle,
        head_parameters=head.numel(),
        attention_width=config.num_hidden_layers * config.num_attention_heads * head_size,
    )


@contextmanager
def measuring(model: nn.Module) -> Iterator[None]:
    """Measure a model without a trace in its training: no dropout, no graph, and no draw from the random stream."""
    was_training = model.training
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            model.train(was_training)


def check_head(model: PreTrainedModel) -> None:
    """Compare the model's own logits of two tokens with those of :func:`output_head`.

    Raises CheckpointError where they differ: the model does something to its logits that the selective loss does not.
    """
    head = output_head(model)
    if head.weight_VD.is_meta:
        return
    tokens_BT = torch.arange(2, device=head.weight_VD.device).unsqueeze(0) % len(head.weight_VD)
    with measuring(model):
        theirs_CV = model(input_ids=tokens_BT, use_cache=False).logits[0].float()
        hidden_CD = backbone(model)(input_ids=tokens_BT, use_cache=False).last_hidden_state[0]
        ours_CV = ChunkedLogits(hidden_CD, head, rows=2).make(slice(0, 2))
    rough = hidden_CD.dtype != torch.float32 or torch.is_autocast_enabled(hidden_CD.device.type)
    tolerance = (3e-2 if rough else 1e-3) * max(1e-4, float(theirs_CV.abs().max()))
    if theirs_CV.shape != ours_CV.shape or not torch.allclose(ours_CV, theirs_CV, rtol=0.0, atol=tolerance):
        raise CheckpointError(
            f"{type(model).__name__}: its logits are not those of its output embedding with bias, scale and soft cap, "
            "so the selective loss would be wrong. Train another architecture, or teach "
            "rho1bench.modeling.causal_lm.output_head this one."
        )


_PROBE_LENGTH = 8
"""Tokens of a document in the probe of document masking."""
_LEAK = 1e-4
"""Share of the largest hidden state by which rounding alone may change one."""


def check_document_masking(model: PreTrainedModel, name: str) -> None:
    """Raise CheckpointError unless positions that begin again keep a block's documents apart (``corpus.masking``).

    Two documents stand in each of two blocks; when the first one changes, the hidden states of the second must stay.
    Some architectures (OPT, Bloom, Falcon, MPT) read ``position_ids`` without separating documents by them.
    """
    device, vocab_size = model.device, vocabulary_size(model)
    tokens_BT = torch.arange(2, 2 + 4 * _PROBE_LENGTH, device=device).view(2, -1) % vocab_size
    changed_BT = tokens_BT.clone()
    changed_BT[:, :_PROBE_LENGTH] = (changed_BT[:, :_PROBE_LENGTH] + vocab_size // 2) % vocab_size
    positions_BT = torch.arange(_PROBE_LENGTH, device=device).repeat(2, 2)
    problem = "their losses see the documents before them"
    try:
        with measuring(model):
            first_BTD, second_BTD = (
                backbone(model)(input_ids=ids_BT, position_ids=positions_BT, use_cache=False)
                .last_hidden_state[:, _PROBE_LENGTH:]
                .float()
                for ids_BT in (tokens_BT, changed_BT)
            )
        if float((first_BTD - second_BTD).abs().max()) <= _LEAK * float(first_BTD.abs().max()):
            return
    except TypeError as error:  # a forward pass without position_ids
        problem = str(error)
    raise CheckpointError(
        f"{name}: a {type(model).__name__} does not keep the documents of a block apart ({problem}), which the "
        "corpus's `document_masking: true` asks for. Pack the corpus without it, or take another architecture."
    )
