"""Memory, disk and GPU hours of every stage of a recipe on given GPUs (``rho1bench plan``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rho1bench.errors import RunError
from rho1bench.plan.memory import Memory, scoring_memory, training_memory
from rho1bench.plan.shapes import shape_of_pretrained, shape_of_stage, unknown_models
from rho1bench.plan.sizes import BYTES_PER_RESUMED_WEIGHT, sequence_length, stage_sizes
from rho1bench.recipe import CorpusStage, PretrainedModel, PretrainStage, Recipe, ScoreStage, StageBase, TrainStage
from rho1bench.sizing.flops import FORWARD, gpu_seconds, mfu
from rho1bench.sizing.gpus import GPU
from rho1bench.sizing.shapes import ModelShape

DEFAULT_MFU = 0.4
DEFAULT_GPUS = 1
HOUR = 3600.0


@dataclass(frozen=True)
class Machine:
    """GPUs, and the share of their peak that training reaches."""

    gpu: GPU
    num_gpus: int
    mfu: float
    assumption: str
    """Where ``mfu`` comes from, in words."""


@dataclass(frozen=True)
class StagePlan:
    """What one stage takes; None where it is not known, or no GPU is at work."""

    name: str
    kind: str
    steps: int | None = None
    tokens: int | None = None
    weights: int | None = None
    memory: Memory | None = None
    disk: int | None = None
    hours: float | None = None
    """Wall hours on all GPUs together."""


@dataclass(frozen=True)
class RunPlan:
    """All stages, and what a reader has to know beside the numbers."""

    recipe: str
    machine: Machine
    stages: list[StagePlan]
    notes: list[str] = field(default_factory=list)

    @property
    def hours(self) -> float:
        """Wall hours of all stages whose hours are known."""
        return sum(stage.hours or 0.0 for stage in self.stages)

    @property
    def disk(self) -> int:
        """Bytes of all stages whose bytes are known."""
        return sum(stage.disk or 0 for stage in self.stages)


def processes_of(recipe: Recipe) -> int:
    """Return the largest number of processes that a stage of ``recipe`` asks for."""
    stages = [stage for stage in recipe.stages if isinstance(stage, TrainStage) and stage.distributed is not None]
    numbers = [stage.distributed.num_processes for stage in stages if stage.distributed is not None]
    return max((number for number in numbers if number is not None), default=DEFAULT_GPUS)


def make_machine(
    recipe: Recipe, gpu: GPU, num_gpus: int, share: float | None = None, tokens_per_second: float | None = None
) -> Machine:
    """Return the machine with its MFU: stated, or from the measured tokens a second of the recipe's largest model.

    Raises RunError if both are given, or no stage's model is known to turn tokens a second into an MFU.
    """
    if share is not None and tokens_per_second is not None:
        raise RunError("--mfu and --tokens-per-second say the same thing; give one of them.")
    if tokens_per_second is None:
        stated = DEFAULT_MFU if share is None else share
        return Machine(gpu, num_gpus, stated, f"an MFU of {stated:.3g} is assumed, not measured")
    shape, length, name = _largest(recipe)
    reached = mfu(tokens_per_second, shape, length, gpu.peak_flops)
    words = f"{tokens_per_second:,.0f} tokens/s a GPU in stage {name!r} are given, an MFU of {reached:.3g}"
    return Machine(gpu, num_gpus, reached, words)


def plan_run(recipe: Recipe, machine: Machine) -> RunPlan:
    """Return the plan of every stage; nothing is read but the recipe (and configs of models in local folders)."""
    stages = [_plan_stage(recipe, stage, machine) for stage in recipe.stages]
    return RunPlan(recipe.name, machine, stages, list(_notes(recipe, machine, stages)))


def _plan_stage(recipe: Recipe, stage: StageBase, machine: Machine) -> StagePlan:
    if isinstance(stage, TrainStage):
        return _plan_training(recipe, stage, machine)
    if isinstance(stage, ScoreStage):
        return _plan_scoring(recipe, stage, machine)
    sizes = stage_sizes(recipe, stage)
    return StagePlan(stage.name, str(getattr(stage, "kind", "")), tokens=sizes.get("tokens"), disk=sizes.get("bytes"))


def _plan_training(recipe: Recipe, stage: TrainStage, machine: Machine) -> StagePlan:
    shape, length, sizes = shape_of_stage(recipe, stage), sequence_length(recipe, stage), stage_sizes(recipe, stage)
    plan = StagePlan(stage.name, str(getattr(stage, "kind", "")), sizes["steps"], sizes["tokens"])
    if shape is None:
        return plan
    num_gpus = gpus_of(stage, machine)
    seconds = gpu_seconds(sizes["tokens"], shape, length, machine.mfu * machine.gpu.peak_flops)
    return replace(
        plan,
        weights=shape.num_parameters,
        memory=training_memory(shape, stage, length, num_gpus),
        disk=sizes["bytes"] + BYTES_PER_RESUMED_WEIGHT * shape.num_parameters,
        hours=seconds / num_gpus / HOUR,
    )


def _plan_scoring(recipe: Recipe, stage: ScoreStage, machine: Machine) -> StagePlan:
    sizes, corpus = stage_sizes(recipe, stage), recipe.stage(stage.corpus)
    plan = StagePlan(stage.name, stage.kind, tokens=sizes.get("tokens"), disk=sizes.get("bytes"))
    shape = _reference_shape(recipe, stage.reference)
    if shape is None or plan.tokens is None:
        return plan
    assert isinstance(corpus, CorpusStage)
    reached = machine.mfu * machine.gpu.peak_flops
    seconds = gpu_seconds(plan.tokens, shape, corpus.block_size, reached, FORWARD)
    return replace(
        plan,
        weights=shape.num_parameters,
        memory=scoring_memory(shape, stage.precision, stage.batch_size * corpus.block_size),
        hours=seconds / machine.num_gpus / HOUR,
    )


def gpus_of(stage: TrainStage, machine: Machine) -> int:
    """Return how many GPUs a stage uses: all of them where it is distributed, else one."""
    return machine.num_gpus if stage.distributed is not None else 1


def _reference_shape(recipe: Recipe, reference: str | PretrainedModel | None) -> ModelShape | None:
    if isinstance(reference, PretrainedModel):
        return shape_of_pretrained(reference)
    if reference is None:  # a server's scores
        return None
    trained = recipe.stage(reference)
    assert isinstance(trained, TrainStage)
    return shape_of_stage(recipe, trained)


def _largest(recipe: Recipe) -> tuple[ModelShape, int, str]:
    known = []
    for stage in recipe.stages:
        shape = shape_of_stage(recipe, stage) if isinstance(stage, PretrainStage) else None
        if shape is not None and isinstance(stage, PretrainStage):
            known.append((shape, sequence_length(recipe, stage), stage.name))
    if not known:
        raise RunError("--tokens-per-second: the shape of no pretrained model is known here; give --mfu instead.")
    return max(known, key=lambda item: item[0].num_parameters)


def _notes(recipe: Recipe, machine: Machine, plans: list[StagePlan]) -> Iterator[str]:
    memory = machine.gpu.memory
    for stage, plan in zip(recipe.stages, plans, strict=True):
        if plan.memory is not None and plan.memory.total > memory:
            yield (
                f"{stage.name}: {plan.memory.total / 1e9:.0f} GB do not fit {machine.gpu.title} ({memory / 1e9:.0f} GB)"
                f"{_remedy(stage, plan.memory, machine)}"
            )
        if isinstance(stage, TrainStage) and stage.distributed is not None:
            micro = stage.micro_batch_size or max(stage.batch_size // machine.num_gpus, 1)
            if stage.batch_size % (micro * machine.num_gpus):
                yield (
                    f"{stage.name}: batch_size {stage.batch_size} is no multiple of {machine.num_gpus} GPUs x "
                    f"micro_batch_size {micro}; it would not start"
                )
    for name in unknown_models(recipe):
        yield (
            f"{name}: its shape is not known offline. Name a folder that holds its config.json in `pretrained`, or "
            f"fetch it once with `hf download {name} config.json`"
        )


def _remedy(stage: StageBase, memory: Memory, machine: Machine) -> str:
    if not isinstance(stage, TrainStage):
        return "; a smaller batch_size helps"
    if memory.total - memory.activations > 0.9 * machine.gpu.memory:
        return "; distributed.strategy fsdp2 shards weights, gradients and optimizer over the GPUs"
    if not stage.gradient_checkpointing:
        return "; a smaller micro_batch_size or gradient_checkpointing helps"
    return "; a smaller micro_batch_size helps"
