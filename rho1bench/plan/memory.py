"""Memory that training takes on one GPU, in bytes: model states and activations.

Model states (N weights, R of them outside of the layers, P processes), after the ZeRO paper (Rajbhandari et al.
2020, arXiv 1910.02054, section 3): float32 weights 4N, gradients 4N, AdamW's two moments 8N. bf16 autocast keeps
a bf16 copy (2N) of the weights that are multiplied, for the backward pass. A moving average of the weights
(``selection.moving_average``) is 4N more.

    ddp         all of it in every process, and 4N more in its gradient buckets
    fsdp2       1/P of it (with ``shard_over: node`` P are those of a node), and whole: embeddings, last norm and head
                in float32 from the forward to the end of the backward pass (4R), their gradients (4R), and two layers
                in the precision of their products, one at work and one on its way; of one layer the gradient, and of
                one the float32 copy that is added up over the processes
    deepspeed   whole weights, in bf16 beside a float32 share; gradients (one bucket whole) and optimizer 1/P

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
ZERO_BUCKET = 5e8
"""Gradients that DeepSpeed adds up at a time, by default."""


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


def training_memory(
    shape: ModelShape, stage: TrainStage, length: int, num_gpus: int, per_node: int | None = None
) -> Memory:
    """Return the memory that ``stage`` takes on each of ``num_gpus``, in sequences of ``length`` tokens.

    ``per_node`` are those of a node; default: all are of one.
    """
    weights, gradients, optimizer = _states(shape, stage, num_gpus, per_node or num_gpus)
    average = 4.0 * shape.num_parameters if stage.selection is not None and stage.selection.keeps_average else 0.0
    micro_batch = stage.micro_batch_size or max(stage.batch_size // num_gpus, 1)
    return Memory(
        weights=weights + average,
        gradients=gradients,
        optimizer=optimizer,
        activations=activation_bytes(shape, stage, micro_batch * length) + 3 * _logits(shape, micro_batch * length),
    )


def _states(shape: ModelShape, stage: TrainStage, num_gpus: int, per_node: int) -> tuple[float, float, float]:
    """Return the bytes of weights, gradients and optimizer."""
    number, is_bf16 = float(shape.num_parameters), stage.precision == "bf16"
    if num_gpus > 1 and stage.distributed is not None and stage.distributed.strategy == "fsdp2":
        own = number / (per_node if stage.distributed.shard_over == "node" else num_gpus)
        weights, gradients = unsharded_bytes(shape, stage.precision)
        return 4 * own + weights, 4 * own + gradients, 8 * own
    if num_gpus > 1 and stage.distributed is not None and stage.distributed.strategy == "deepspeed":
        width, own = 2 if is_bf16 else 4, number / num_gpus
        bucket = min(number, ZERO_BUCKET)
        return width * number + (4 * own if is_bf16 else 0), width * (own + bucket), 8 * own
    buckets = number if num_gpus > 1 else 0.0
    return 4 * number + (2 * number if is_bf16 else 0), 4 * (number + buckets), 8 * number


def unsharded_bytes(shape: ModelShape, precision: str) -> tuple[float, float]:
    """Return the bytes of weights and of gradients that ``fsdp2`` holds whole in each process at a time."""
    layer = shape.layer_parameters
    rest = shape.num_parameters - shape.num_hidden_layers * layer
    if precision == "bf16":  # the head's product has a bf16 copy of its weights
        return 4.0 * rest + 2.0 * shape.head_parameters + 2 * 2.0 * layer, 4.0 * rest + (2.0 + 4.0) * layer
    return 4.0 * rest + 2 * 4.0 * layer, 4.0 * rest + 2 * 4.0 * layer


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
    """Return the memory that scoring takes: weights in its precision, and the widest layer's tensors of one batch."""
    width = 2 if precision == "bf16" else 4
    layer = tokens * (8 * shape.hidden_size + width * (2 * shape.intermediate_size + 4 * shape.hidden_size))
    return Memory(float(width * shape.num_parameters), 0.0, 0.0, layer + 2 * _logits(shape, tokens))


def _logits(shape: ModelShape, tokens: int) -> float:
    return 4.0 * min(LOGITS_OF_A_CHUNK, tokens * shape.vocab_size)
