"""What a pretraining stage starts from and reads, by hash: two arms compare fairly only where both are the same.

``training.json`` holds it (paper section 3.1: SLM and CLM share initial weights, data and order).
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rho1bench.modeling.distributed import is_main
from rho1bench.system.files import sha256_json


def starting_point(model: nn.Module, order: npt.NDArray[np.int64], corpus_fingerprint: str) -> dict[str, str]:
    """Return ``initial_weights_sha256`` and ``data_sha256``; empty on ranks that write nothing.

    Args:
        model: before training, whole.
        order: the block of every sample, shape (num_samples,).
        corpus_fingerprint: of the corpus that the blocks are of, by content.
    """
    if not is_main():
        return {}
    data = sha256_json([corpus_fingerprint, hashlib.sha256(np.ascontiguousarray(order).tobytes()).hexdigest()])
    return {"initial_weights_sha256": _weights_sha256(model), "data_sha256": data}


def _weights_sha256(model: nn.Module) -> str:
    """Return the hash of all parameters with their names and types; tied ones count once."""
    found = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        tensor = parameter.detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
