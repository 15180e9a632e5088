"""What would stop a run on this machine, told before its first stage: engines, packages, disk.

A recipe that loads is right in itself; here it meets the machine. The commands ``run``, ``sweep`` and ``validate`` ask.
Nothing is imported or downloaded: packages are looked up by name, disk is that of the plan (``estimate``).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

from rho1bench.errors import RunError
from rho1bench.install import installed_version
from rho1bench.pipeline.launch import Launch
from rho1bench.pipeline.runner import preview, runs_of
from rho1bench.pipeline.torchrun import missing_gpus
from rho1bench.plan.estimate import BYTES_PER_RESUMED_WEIGHT
from rho1bench.plan.launched import unfit_batches
from rho1bench.recipe import CorpusStage, EvalStage, PackageSource, Recipe, StageBase, TokenizerStage, TrainStage
from rho1bench.sizing.attention_heads import VLLM_CPU_HEAD_SIZES, has_vllm, unserved_head_size
from rho1bench.system.disk_errors import free_megabytes

MEGABYTE = 1_000_000


def check_machine(recipe: Recipe, folder: Path, engine: str | None = None, launch: Launch | None = None) -> None:
    """Raise RunError with all that would stop a run of ``recipe`` in ``folder``.

    ``engine`` replaces the recipe's; ``launch`` are the processes of the run, by default one.
    """
    problems = list(obstacles(recipe, folder, engine, launch))
    if problems:
        count = "1 obstacle" if len(problems) == 1 else f"{len(problems)} obstacles"
        raise RunError(
            f"the recipe {recipe.name!r} cannot run here, {count}:\n" + "\n".join(f"  {line}" for line in problems)
        )


def obstacles(recipe: Recipe, folder: Path, engine: str | None = None, launch: Launch | None = None) -> Iterator[str]:
    """Yield what would stop a run, each with its place in the recipe and a way out."""
    launch = launch or Launch()
    if launch.processes > 1 and (too_few := missing_gpus(launch)):
        yield too_few
    for name, words in unfit_batches(recipe, launch):
        yield f"stages.{name}.batch_size: {words}"
    for stage in recipe.stages:
        yield from _missing_packages(stage, launch)
        if isinstance(stage, EvalStage):
            yield from _unfit_engine(stage, recipe, engine)
    yield from _full_disk(recipe, folder)


def _missing_packages(stage: StageBase, launch: Launch) -> Iterator[str]:
    wanted: list[tuple[str, str]] = []
    if isinstance(stage, TrainStage):
        wanted += [(f"loggers.{place}", name) for place, name in enumerate(stage.loggers)]
        if stage.attention == "flash_attention_2":
            wanted.append(("attention", "flash_attn"))
        strategy = stage.distributed.strategy if stage.distributed is not None else None
        if strategy == "deepspeed" and launch.starts_ranks(stage):
            wanted.append(("distributed.strategy", "deepspeed"))
    for key, module in wanted:
        if not is_importable(module):
            install = module.replace("_", "-")
            yield f"stages.{stage.name}.{key}: the package {install!r} is not installed; pip install {install}"
    for place, source in enumerate(stage.sources if isinstance(stage, TokenizerStage | CorpusStage) else ()):
        for name in source.packages if isinstance(source, PackageSource) else ():
            if not installed_version(name):
                where = f"stages.{stage.name}.sources.{place}.packages"
                yield f"{where}: the package {name!r}, whose text is read, is not installed; pip install {name}"


def is_importable(module: str) -> bool:
    """Tell whether a package could be imported, without doing so."""
    return importlib.util.find_spec(module) is not None


def _unfit_engine(stage: EvalStage, recipe: Recipe, engine: str | None) -> Iterator[str]:
    """Tell of an engine that is asked for by name and cannot serve a model; ``auto`` takes another one by itself."""
    where = "--engine vllm" if engine else f"stages.{stage.name}.engine"
    if (engine or stage.engine) != "vllm":
        return
    if not has_vllm():
        yield f"{where}: vLLM is not installed; `rho1bench doctor` says how to install it, or use hf"
        return
    for name in dict.fromkeys(stage.final_checkpoints):
        shape = recipe.stage(name, TrainStage).shape(recipe)
        heads = [] if shape is None else [shape.hidden_size // shape.num_attention_heads]
        if (size := unserved_head_size(heads)) is not None:
            known = ", ".join(map(str, VLLM_CPU_HEAD_SIZES))
            yield (
                f"{where}: vLLM's CPU engine has no attention heads of size {size}, which those of {name!r} have; use "
                f"hf, or sizes (hidden_size / num_attention_heads) among {known}"
            )
            return


def _full_disk(recipe: Recipe, folder: Path) -> Iterator[str]:
    """Compare the plan's bytes with what is free; stages that are done already are counted only where it matters."""
    free = free_megabytes(folder) * MEGABYTE
    runs = list(runs_of(recipe, folder))
    if not free or len(runs) * bytes_needed(recipe, recipe.stages) <= free:
        return  # /proc and its like have no room at all, and the run says better why
    needed = sum(
        bytes_needed(one, [stage for stage, decision in preview(one, place) if decision.action != "skip"])
        for one, place in runs
    )
    if needed > free:
        yield (
            f"the plan needs {needed / 1e9:,.1f} GB on the disk of {folder}, which has {free / 1e9:,.1f} GB left; free "
            f"some, or give another disk with --output (`rho1bench plan` shows each stage's share)"
        )


def bytes_needed(recipe: Recipe, stages: Sequence[StageBase]) -> int:
    """Return what ``stages`` leave on disk where that is known, and the largest resume points that exist at a time."""
    sizes = [stage.sizes(recipe) for stage in stages]
    resume = sorted(
        (size.weights or 0) * BYTES_PER_RESUMED_WEIGHT * stage.resume_points
        for stage, size in zip(stages, sizes, strict=True)
        if isinstance(stage, TrainStage)
    )
    return sum(size.bytes or 0 for size in sizes) + sum(resume[-recipe.jobs :])
