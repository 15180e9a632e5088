"""What this package reads of transformers' and accelerate's inside, for want of a public interface.

It stands here alone, beside the methods of ``transformers.Trainer`` that ``training.trainers`` overrides;
``tests/modeling/test_transformers_internals.py`` tells by name what a new version of a library has moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def attention_implementation(lm: PreTrainedModel) -> str | None:
    """Return the attention that a model runs with: ``sdpa``, ``eager`` or ``flash_attention_2``."""
    found: str | None = lm.config._attn_implementation
    return found


@contextmanager
def one_sequence_a_row() -> Iterator[None]:
    """Let transformers know that no row holds several sequences, within the block.

    Of positions that it has made itself it would ask the device whether they begin anew in a row, and wait for the
    answer in every forward pass.
    """
    from transformers import masking_utils

    found = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = lambda position_ids: None
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = found


def layer_classes(lm: nn.Module) -> list[str]:
    """Return the class names of the transformer layers, as transformers names what must stay on one device."""
    return sorted(getattr(lm, "_no_split_modules", None) or [])
