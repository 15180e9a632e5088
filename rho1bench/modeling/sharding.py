"""Weights, gradients and optimizer state spread over the ranks: FSDP2 (``distributed.strategy: fsdp2``).

A sharded stage computes what a whole model computes under autocast. Layers, which are nearly all of the weights, are
gathered in the precision of their products; embeddings, the last norm and the output head in float32, as autocast
leaves them. Gradients are added up over the ranks in float32; inputs (stored scores among them) are not cast, and
outputs are float32. Gradients are spread after every micro-batch, so that no rank holds those of the whole model.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
from torch import nn

from rho1bench.errors import TrainingError
from rho1bench.modeling.build import layers
from rho1bench.modeling.distributed import num_processes
from rho1bench.recipe import TrainStage

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from transformers import PreTrainedModel


def is_sharded(stage: TrainStage) -> bool:
    """Tell whether the ranks of a stage share one copy of the weights (or one a node)."""
    return stage.distributed is not None and stage.distributed.strategy == "fsdp2" and num_processes() > 1


def shard(model: nn.Module, lm: PreTrainedModel, stage: TrainStage, device: torch.device) -> None:
    """Spread ``model``, which holds ``lm``, over all ranks in place; every rank has the same weights before.

    Called after the group of ranks has started and before the optimizer is made. Raises TrainingError where the ranks
    are not equally many on every node.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    assert stage.distributed is not None, "a sharded stage has distributed:"
    mesh = _mesh(stage.distributed.shard_over, device)
    products = torch.bfloat16 if stage.precision == "bf16" else None
    policy = MixedPrecisionPolicy(
        param_dtype=products,
        reduce_dtype=torch.float32,
        output_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    for layer in layers(lm):
        fully_shard(layer, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False))


def _mesh(shard_over: str, device: torch.device) -> DeviceMesh:
    """Return the ranks as (rank,), or as (node, rank within it): shards within a node, copies between nodes."""
    from torch.distributed.device_mesh import init_device_mesh

    world, per_node = num_processes(), int(os.environ.get("LOCAL_WORLD_SIZE", num_processes()))
    if shard_over == "all" or per_node == world:
        return init_device_mesh(device.type, (world,), mesh_dim_names=("shard",))
    if world % per_node:
        raise TrainingError(
            f"`distributed.shard_over: node` needs equally many processes on every node, and {world} are no multiple "
            f"of the {per_node} here. Start as many on each, or leave shard_over out."
        )
    return init_device_mesh(device.type, (world // per_node, per_node), mesh_dim_names=("replicate", "shard"))
