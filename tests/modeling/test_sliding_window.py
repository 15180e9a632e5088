"""A window as long as the block is no window: plain causal attention, and a config that still names it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM

from rho1bench.modeling.sliding_window import drop_covering_window

SHAPE: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def masks_of(model: Any, ids_BT: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the mask that each layer's attention was given."""
    attention, found = torch.nn.functional.scaled_dot_product_attention, []

    def noting(*args: Any, **kwargs: Any) -> torch.Tensor:
        found.append(kwargs.get("attn_mask"))
        return attention(*args, **kwargs)

    with monkeypatch.context() as patched, torch.no_grad():
        patched.setattr(torch.nn.functional, "scaled_dot_product_attention", noting)
        model(input_ids=ids_BT, use_cache=False)
    return found


@pytest.mark.parametrize(("window", "is_dropped"), [(8, True), (9, True), (7, False)])
def test_a_window_that_covers_the_block_is_no_mask(
    window: int, is_dropped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=window)).eval()
    ids_BT = torch.arange(16).view(2, 8)
    with torch.no_grad():
        before_BTV = model(input_ids=ids_BT, use_cache=False).logits
    drop_covering_window(model, 8)
    assert all((mask is None) == is_dropped for mask in masks_of(model, ids_BT, monkeypatch))
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids_BT, use_cache=False).logits, before_BTV)
    assert model.config.sliding_window == window


def test_a_model_of_several_kinds_of_layers_stays_as_it_is() -> None:
    config = Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=8, max_window_layers=1)
    model = Qwen2ForCausalLM(config)
    drop_covering_window(model, 8)
    assert all(module.config is config for module in model.base_model.modules() if hasattr(module, "config"))
