"""Attention windows that cover all that a model is given: dropped, so that attention is plain causal attention.

A window is a mask of its own, which rules out the kernels for causal attention (Mistral-7B has a window of 4096, the
length of its blocks).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def drop_covering_window(model: PreTrainedModel, length: int) -> None:
    """Let ``model`` attend without its sliding window, if sequences of ``length`` tokens never reach beyond it.

    The model's own config keeps the window, so that what is saved still has it. Models that mix kinds of layers
    (``layer_types``) are left as they are. Called after the attention has been set.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if not isinstance(window, int) or window < length or getattr(config, "layer_types", None) is not None:
        return
    without = copy.deepcopy(config)
    without.sliding_window = None
    for module in model.base_model.modules():
        if module is not model and getattr(module, "config", None) is config:
            module.config = without  # type: ignore[assignment]  # torch takes all attributes for tensors or modules
