"""How much an accelerator has in work at once: sequences and tokens of a step, sized to its memory.

Rules of thumb, for throughput alone: vLLM keeps waiting what does not fit, so no size is wrong. Few-shot prompts and
their answers came to about a thousand tokens each in the paper's nine math tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

MEMORY_SHARE = 0.9
"""Of the device's memory, vLLM's own default; the KV cache gets what the weights leave of it."""
TOKENS_A_SEQUENCE = 1024
"""Of prompt and answer, as a rule."""
FEWEST_SEQUENCES, MOST_SEQUENCES = 64, 1024
FEWEST_TOKENS, MOST_TOKENS = 2048, 16384
BYTES_A_TOKEN_OF_A_STEP = 4 << 20
"""Of memory for each token of a step: 16,384 tokens with 64 GiB or more, 4,096 with 16 to 31."""


@dataclass(frozen=True)
class EngineSizes:
    """What one step of the scheduler holds at most."""

    max_num_seqs: int
    max_num_batched_tokens: int


def engine_sizes(
    memory: int, weights: int, kv_token: int, max_model_len: int, batch_size: int | None = None
) -> EngineSizes:
    """Return the sizes for a device.

    Args:
        memory: bytes of the devices that share the model.
        weights: bytes of the model.
        kv_token: bytes that one token takes in the KV cache.
        max_model_len: longest sequence in tokens; a step holds at least one of that length.
        batch_size: sequences that the user asks for; default: as many as the KV cache holds.
    """
    room = max(int(memory * MEMORY_SHARE) - weights, 0)
    sequences = room // (kv_token * min(TOKENS_A_SEQUENCE, max_model_len))
    tokens = 1 << max(memory // BYTES_A_TOKEN_OF_A_STEP, 1).bit_length() - 1
    return EngineSizes(
        batch_size or min(max(sequences, FEWEST_SEQUENCES), MOST_SEQUENCES),
        max(min(max(tokens, FEWEST_TOKENS), MOST_TOKENS), max_model_len),
    )


def by_prefix(prompts: list[list[int]]) -> list[int]:
    """Return the order in which prompts that begin alike follow each other, so that a prefix is made once and kept."""
    return sorted(range(len(prompts)), key=lambda place: (prompts[place], place))
