"""What this package reads of transformers' and accelerate's inside, for want of a public interface.

It stands here alone, beside the methods of ``transformers.Trainer`` that ``training.trainers`` overrides;
``tests/modeling/test_transformers_internals.py`` tells by name what a new version of a library has moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def attention_implementation(lm: PreTrainedModel) -> str | None:
    """Return the attention that a model runs with: ``sdpa``, ``eager`` or ``flash_attention_2``."""
    found: str | None = lm.config._attn_implementation
    return found


def layer_classes(lm: nn.Module) -> list[str]:
    """Return the class names of the transformer layers, as transformers names what must stay on one device."""
    return sorted(getattr(lm, "_no_split_modules", None) or [])
