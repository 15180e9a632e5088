"""Memory, disk and GPU hours of every stage of a recipe on given GPUs (``rho1bench plan``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import singledispatch

from rho1bench.errors import RunError
from rho1bench.pipeline.launch import Launch
from rho1bench.plan.communication import Links, step_seconds
from rho1bench.plan.evaluation import requests_by_stage, seconds_of, together
from rho1bench.plan.launched import copies_of, micro_batches, unfit_batches
from rho1bench.plan.memory import Memory, scoring_memory, training_memory
from rho1bench.recipe import (
    CorpusStage,
    EvalStage,
    PretrainedModel,
    PretrainStage,
    Recipe,
    ScoreStage,
    StageBase,
    TrainStage,
)
from rho1bench.sizing.flops import FORWARD, gpu_seconds, mfu
from rho1bench.sizing.gpus import GPU
from rho1bench.sizing.shapes import ModelShape

DEFAULT_MFU = 0.4
HOUR = 3600.0
BYTES_PER_RESUMED_WEIGHT = 12
"""Of a resume point: float32 weights and AdamW's two moments."""


@dataclass(frozen=True)
class Machine:
    """GPUs, and the share of their peak that training reaches."""

    gpu: GPU
    num_gpus: int
    mfu: float
    assumption: str
    """Where ``mfu`` comes from, in words."""
    nodes: int = 1

    @property
    def per_node(self) -> int:
        """GPUs of a node."""
        return self.num_gpus // self.nodes

    def reached_flops(self, precision: str) -> float:
        """Return the operations a second that a GPU reaches in ``bf16`` or ``fp32``."""
        return self.mfu * self.gpu.peak(precision)


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
    """Wall hours on all GPUs together: of computing or of communication, whichever takes longer, for both overlap."""
    communication: float | None = None
    """Hours of collectives."""
    detail: str = ""
    """What the numbers are made of, in words."""


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


def make_machine(
    recipe: Recipe,
    gpu: GPU,
    num_gpus: int,
    share: float | None = None,
    tokens_per_second: float | None = None,
    nodes: int = 1,
) -> Machine:
    """Return the machine with its MFU: stated, or from the measured tokens a second of the recipe's largest model.

    Raises RunError if both are given, or no stage's model is known to turn tokens a second into an MFU.
    """
    if share is not None and tokens_per_second is not None:
        raise RunError("--mfu and --tokens-per-second say the same thing; give one of them.")
    if tokens_per_second is None:
        stated = DEFAULT_MFU if share is None else share
        return Machine(gpu, num_gpus, stated, f"an MFU of {stated:.3g} is assumed, not measured", nodes)
    shape, length, stage = _largest(recipe)
    reached = mfu(tokens_per_second, shape, length, gpu.peak(stage.precision))
    words = f"{tokens_per_second:,.0f} tokens/s a GPU in stage {stage.name!r} are given, an MFU of {reached:.3g}"
    return Machine(gpu, num_gpus, reached, words, nodes)


def plan_run(recipe: Recipe, machine: Machine) -> RunPlan:
    """Return the plan of every stage; nothing is read but the recipe (and configs of models in local folders)."""
    stages = [plan_stage(stage, recipe, machine) for stage in recipe.stages]
    return RunPlan(recipe.name, machine, stages, list(_notes(recipe, machine, stages)))


@singledispatch
def plan_stage(stage: StageBase, recipe: Recipe, machine: Machine) -> StagePlan:
    """Return the plan of a stage that needs no GPU; the kinds that do have a version of their own."""
    sizes = stage.sizes(recipe)
    return StagePlan(stage.name, stage.kind, tokens=sizes.tokens, disk=sizes.bytes)


@plan_stage.register
def _plan_training(stage: TrainStage, recipe: Recipe, machine: Machine) -> StagePlan:
    shape, length, sizes = stage.shape(recipe), stage.sequence_length(recipe), stage.sizes(recipe)
    plan = StagePlan(stage.name, stage.kind, sizes.steps, sizes.tokens)
    if shape is None or sizes.tokens is None or sizes.bytes is None:
        return plan
    num_gpus = gpus_of(stage, machine)
    computing = gpu_seconds(sizes.tokens, shape, length, machine.reached_flops(stage.precision)) / num_gpus
    links = Links(machine.gpu, machine.nodes, machine.per_node)
    sending = stage.max_steps * step_seconds(shape, stage, max(micro_batches(stage, num_gpus)[1], 1), links)
    return replace(
        plan,
        weights=shape.num_parameters,
        memory=training_memory(shape, stage, length, num_gpus, machine.per_node),
        disk=sizes.bytes + BYTES_PER_RESUMED_WEIGHT * shape.num_parameters,
        hours=max(computing, sending) / HOUR,
        communication=sending / HOUR,
    )


@plan_stage.register
def _plan_scoring(stage: ScoreStage, recipe: Recipe, machine: Machine) -> StagePlan:
    sizes, corpus = stage.sizes(recipe), recipe.stage(stage.corpus, CorpusStage)
    plan = StagePlan(stage.name, stage.kind, tokens=sizes.tokens, disk=sizes.bytes)
    shape = reference_shape(recipe, stage.reference)
    if shape is None or plan.tokens is None:
        return plan
    reached = machine.reached_flops(stage.precision)
    seconds = gpu_seconds(plan.tokens, shape, corpus.block_size, reached, FORWARD)
    return replace(
        plan,
        weights=shape.num_parameters,
        memory=scoring_memory(shape, stage.precision, stage.batch_size * corpus.block_size),
        hours=seconds / gpus_of(stage, machine) / HOUR,
    )


@plan_stage.register
def _plan_evaluation(stage: EvalStage, recipe: Recipe, machine: Machine) -> StagePlan:
    peak = machine.gpu.peak("fp32" if stage.dtype == "float32" else "bf16")
    copies = copies_of(stage, machine.per_node)
    asked, seconds = requests_by_stage(stage, recipe), 0.0
    for name, requests in asked.items():
        shape = recipe.stage(name, TrainStage).shape(recipe)
        if shape is None:
            return StagePlan(stage.name, stage.kind)
        seconds += seconds_of(requests, shape, stage.max_model_len, peak, machine.mfu, copies)
    total = together(asked.values())
    tokens = round(total.prompt_tokens + total.written_tokens)
    known = tokens > 0
    return StagePlan(
        stage.name,
        stage.kind,
        tokens=tokens if known else None,
        hours=seconds / HOUR if known else None,
        detail=total.words(copies),
    )


def gpus_of(stage: StageBase, machine: Machine) -> int:
    """Return how many GPUs a stage uses: all of them where it works in ranks, else one."""
    return machine.num_gpus if stage.in_ranks else 1


def reference_shape(recipe: Recipe, reference: str | PretrainedModel | None) -> ModelShape | None:
    """Return the shape of a model that scores; None where it is not known, or a server has it."""
    if reference is None:  # a server's scores
        return None
    return (
        reference.shape if isinstance(reference, PretrainedModel) else recipe.stage(reference, TrainStage).shape(recipe)
    )


def _largest(recipe: Recipe) -> tuple[ModelShape, int, PretrainStage]:
    known = [
        (shape, stage.sequence_length(recipe), stage)
        for stage in recipe.stages_of(PretrainStage)
        if (shape := stage.shape(recipe)) is not None
    ]
    if not known:
        raise RunError("--tokens-per-second: the shape of no pretrained model is known here; give --mfu instead.")
    return max(known, key=lambda item: item[0].num_parameters)


def _notes(recipe: Recipe, machine: Machine, plans: list[StagePlan]) -> Iterator[str]:
    memory = machine.gpu.memory
    for stage, plan in zip(recipe.stages, plans, strict=True):
        if plan.memory is not None and plan.memory.total > memory:
            yield (
                f"{stage.name}: {plan.memory.total / 1e9:.0f} GB do not fit {machine.gpu.title} ({memory / 1e9:.0f} GB)"
                f"{remedy(stage, plan.memory, machine)}"
            )
    for name, words in unfit_batches(recipe, Launch(machine.nodes, machine.per_node)):
        yield f"{name}: it would not start; its batch_size {words}"
    for name in _unknown_models(recipe):
        yield (
            f"{name}: its shape is not known offline. Name a folder that holds its config.json in `pretrained`, or "
            f"fetch it once with `hf download {name} config.json`"
        )


def _unknown_models(recipe: Recipe) -> list[str]:
    """Return the pretrained models of ``recipe`` whose shape is not known without a network."""
    inits = [stage.init for stage in recipe.stages_of(TrainStage)]
    return list(dict.fromkeys(i.pretrained for i in inits if isinstance(i, PretrainedModel) and i.shape is None))


@singledispatch
def remedy(stage: StageBase, memory: Memory, machine: Machine) -> str:
    """Return what would make a stage fit into the memory of a GPU."""
    return "; a smaller batch_size helps"


@remedy.register
def _remedy_of_training(stage: TrainStage, memory: Memory, machine: Machine) -> str:
    if memory.total - memory.activations > 0.9 * machine.gpu.memory:
        return "; distributed.strategy fsdp2 shards weights, gradients and optimizer over the GPUs"
    if not stage.gradient_checkpointing:
        return "; a smaller micro_batch_size or gradient_checkpointing helps"
    return "; a smaller micro_batch_size helps"
