"""Memory that training takes on one GPU, in bytes: model states and activations.

Model states (N weights, P processes), after the ZeRO paper (Rajbhandari et al. 2020, arXiv 1910.02054, section 3):
float32 weights 4N, gradients 4N, AdamW's two moments 8N. ``ddp`` holds all of it in every process, and 4N more in its
gradient buckets; ``fsdp2`` and ``deepspeed`` hold 1/P of it, and two layers' weights and gradients whole (one at work,
one on its way). bf16 autocast keeps a bf16 copy (2N) of the weights that are multiplied, for the backward pass. A
moving average of the weights (``selection.moving_average``) is 4N more.

Activations a token and layer, h hidden, k width of keys, i intermediate, a heads. Counted from the tensors that
autograd saves for transformers' Llama with SDPA (no attention matrix); Korthikanti et al. 2022 (arXiv 2205.05198)
counts a GPT-3 layer the same way. ``tests/plan`` repeats the count.

    float32          32h + 8k + 16i + 4a
    bf16 autocast    30h + 4k +  8i + 4a    (the residual stream stays float32)
    checkpointing     4h, and one layer whole while it is made again

The logits of the selective loss exist one chunk at a time: three float32 chunks of at most 2^27 elements are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from rho1bench.recipe import TrainStage
from rho1bench.sizing.shapes import ModelShape

LOGITS_OF_A_CHUNK = 2**27
"""Elements; what ``selection.loss`` makes at a time on an accelerator."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU, by what they hold."""

    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return self.weights + self.gradients + self.optimizer + self.activations


def training_memory(shape: ModelShape, stage: TrainStage, length: int, num_gpus: int) -> Memory:
    """Return the memory that ``stage`` takes on each of ``num_gpus``, in sequences of ``length`` tokens."""
    sharded = stage.distributed is not None and stage.distributed.strategy != "ddp" and num_gpus > 1
    share = 1 / num_gpus if sharded else 1.0
    in_flight = 2 * shape.layer_parameters if sharded else 0
    states = 4.0 * shape.num_parameters * share
    buckets = 4.0 * shape.num_parameters if num_gpus > 1 and not sharded else 0.0
    copy = 4.0 * shape.num_parameters if stage.selection is not None and stage.selection.keeps_average else 0.0
    if stage.precision == "bf16":
        copy += 2.0 * (in_flight if sharded else shape.num_parameters)
    micro_batch = stage.micro_batch_size or max(stage.batch_size // num_gpus, 1)
    return Memory(
        weights=states + 4.0 * in_flight + copy,
        gradients=states + 4.0 * in_flight + buckets,
        optimizer=2 * states,
        activations=activation_bytes(shape, stage, micro_batch * length) + 3 * _logits(shape, micro_batch * length),
    )


def activation_bytes(shape: ModelShape, stage: TrainStage, tokens: int) -> float:
    """Return what the layers keep for the backward pass of ``tokens`` tokens, in bytes."""
    layer = layer_bytes_per_token(shape, stage.precision)
    if stage.gradient_checkpointing:
        return float(tokens * (4 * shape.hidden_size * shape.num_hidden_layers + layer))
    return float(tokens * layer * shape.num_hidden_layers)


def layer_bytes_per_token(shape: ModelShape, precision: str) -> int:
    """Return the bytes that one layer keeps for one token."""
    hidden, keys, inner = shape.hidden_size, shape.key_value_size, shape.intermediate_size
    if precision == "bf16":
        return 30 * hidden + 4 * keys + 8 * inner + 4 * shape.num_attention_heads
    return 32 * hidden + 8 * keys + 16 * inner + 4 * shape.num_attention_heads


def scoring_memory(shape: ModelShape, precision: str, tokens: int) -> Memory:
    """Return the memory that scoring takes: weights, and the widest layer's tensors of one batch."""
    width = 2 if precision == "bf16" else 4
    layer = tokens * (8 * shape.hidden_size + width * (2 * shape.intermediate_size + 4 * shape.hidden_size))
    copy = 2.0 * shape.num_parameters if precision == "bf16" else 0.0
    return Memory(4.0 * shape.num_parameters + copy, 0.0, 0.0, layer + 2 * _logits(shape, tokens))


def _logits(shape: ModelShape, tokens: int) -> float:
    return 4.0 * min(LOGITS_OF_A_CHUNK, tokens * shape.vocab_size)
