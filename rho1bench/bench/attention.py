"""Which attention kernels a trained stage's model runs: its forward and backward passes under torch's profiler.

A process of its own, part of ``rho1bench bench stages``: ``python -m rho1bench.bench.attention RUN STAGE FILE``. The
model is built as the stage builds it (attention, window, compiled layers, precision, selective loss) from the stage's
checkpoint, and reads random tokens.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rho1bench.system.files import write_json
from rho1bench.system.provenance import device as device_name

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.autograd.profiler_util import FunctionEventAvg

    from rho1bench.recipe import PretrainStage
    from rho1bench.selection.selective_lm import SelectiveLM

WARM_UP, PASSES = 2, 3
_FLASH = "flash"
_ATTENTION = (_FLASH, "attention", "fmha")


@dataclass(frozen=True)
class AttentionProfile:
    """``kernels``: milliseconds a pass of each operation and kernel of attention; ``total`` of everything.

    Each time is its own, without that of what it calls; on a GPU operations have none, their kernels have it all.
    """

    device: str
    attention: str
    kernels: dict[str, float]
    total: float

    @property
    def is_flash(self) -> bool:
        """Tell whether attention ran through flash kernels, forward and backward, and through no others."""
        names = [name for name in self.kernels if "scaled_dot_product" in name]
        has_both = {"backward" in name for name in names if _FLASH in name} == {True, False}
        return has_both and all(_FLASH in name or name.endswith("scaled_dot_product_attention") for name in names)

    def text(self) -> str:
        """Return the profile as lines."""
        word = "yes" if self.is_flash else "NO"
        rows = [f"  {name[:84]:84}{milliseconds:10.2f}" for name, milliseconds in self.kernels.items()]
        head = f"attention: {self.attention}; flash kernels forward and backward: {word}"
        return "\n".join([head, *rows, f"  {'everything':84}{self.total:10.2f} ms a pass"])


def profile(run: Path, name: str) -> AttentionProfile:
    """Profile the model of the stage ``name`` of a finished run."""
    import torch
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    from rho1bench.analysis.run_folder import recipe_of_run
    from rho1bench.modeling.library_internals import attention_implementation
    from rho1bench.recipe import PretrainStage
    from rho1bench.training.trainer_args import quiet_libraries

    quiet_libraries()
    stage = recipe_of_run(run).stage(name, PretrainStage)
    is_cuda = torch.cuda.is_available()
    device = torch.device("cuda" if is_cuda else "cpu")
    model = _model(run, stage, device)
    length = model.lm.config.max_position_embeddings
    blocks = stage.micro_batch_size or stage.batch_size
    ids_BT = torch.randint(model.lm.config.vocab_size, (blocks, length), device=device)
    for _ in range(WARM_UP):
        _pass(model, stage, ids_BT)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_cuda else [])]
    with profiler(activities=activities) as profiled:
        for _ in range(PASSES):
            _pass(model, stage, ids_BT)
        if is_cuda:
            torch.cuda.synchronize()
    kernels, total = _times(profiled.key_averages(), is_cuda)
    return AttentionProfile(device_name(), attention_implementation(model.lm) or "", kernels, total)


def _model(run: Path, stage: PretrainStage, device: torch.device) -> SelectiveLM:
    from torch import nn

    from rho1bench.modeling.build import apply_settings
    from rho1bench.modeling.causal_lm import load_model
    from rho1bench.modeling.sliding_window import drop_covering_window
    from rho1bench.selection.selective_lm import selective_lm
    from rho1bench.selection.selector import Selector

    lm = load_model(run / "stages" / stage.name / "checkpoint")
    drop_covering_window(lm, lm.config.max_position_embeddings)
    apply_settings(lm, stage)
    model = selective_lm(lm, Selector(stage.selection, 0, stage.max_steps), stage)
    return nn.Module.to(model, device).train()


def _pass(model: SelectiveLM, stage: PretrainStage, ids_BT: Tensor) -> None:
    import torch

    from rho1bench.bench.train_variants import random_inputs

    with torch.autocast(ids_BT.device.type, torch.bfloat16, enabled=stage.precision == "bf16"):
        loss: Tensor = model(ids_BT, random_inputs(ids_BT))["loss_sum"]
    loss.backward()
    model.zero_grad(set_to_none=True)


def _times(events: Iterable[FunctionEventAvg], is_cuda: bool) -> tuple[dict[str, float], float]:
    """Return milliseconds a pass of what belongs to attention, the longest first, and of everything."""
    from torch.profiler import DeviceType

    found: dict[str, float] = {}
    total = 0.0
    for event in events:
        own = 0.0 if is_cuda else event.self_cpu_time_total
        if is_cuda and event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            own = event.self_device_time_total  # of an operation it would be that of its kernels once more
        total += own
        name = event.key or ""
        if any(word in name.lower() for word in _ATTENTION):
            found[name] = round(own / 1e3 / PASSES, 4)
    return dict(sorted(found.items(), key=lambda item: -item[1])), round(total / 1e3 / PASSES, 4)


if __name__ == "__main__":
    write_json(Path(sys.argv[3]), asdict(profile(Path(sys.argv[1]), sys.argv[2])))
