"""The layers' linear maps in float8, through torchao: the setting ``float8`` of a training stage.

Weights and gradients stay in float32, as ``precision: bf16`` has them; inputs, weights and gradients are rounded to
float8 as they are multiplied. Embeddings and output head are left alone. Where no float8 can be multiplied, the same
rounded numbers are multiplied in a wider format: slower, for trials.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from rho1bench.errors import CheckpointError

SIZES = 16
"""Float8 products take matrices whose sizes are multiples of this; the number of tokens is padded to one."""


def multiplies_float8() -> bool:
    """Tell whether there is a GPU that multiplies float8 (compute capability 8.9 and up: L40S, H100 and later)."""
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 9)


def use_float8(layers: Iterable[nn.Module], scaling: Literal["tensorwise", "rowwise"], stage: str) -> None:
    """Replace the linear maps of ``layers`` in place; their weights keep names and numbers.

    Raises CheckpointError, with the stage's name, where no map can be replaced.
    """
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    config = replace(Float8LinearConfig.from_recipe_name(scaling), emulate=not multiplies_float8(), pad_inner_dim=True)
    found = [layer for layer in layers if any(_fits(module, name) for name, module in layer.named_modules())]
    if not found:
        raise CheckpointError(
            f"stage {stage!r}: `float8` has nothing to do: the layers have no linear map whose sizes are multiples of "
            f"{SIZES}. Leave it out, or use another model."
        )
    for layer in found:
        convert_to_float8_training(layer, module_filter_fn=_fits, config=config)


def _fits(module: nn.Module, _: str) -> bool:
    return isinstance(module, nn.Linear) and not (module.in_features % SIZES or module.out_features % SIZES)
