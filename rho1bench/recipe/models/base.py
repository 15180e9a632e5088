"""What all models of a recipe are made of: names and numbers, what a stage is, fields that name stages or folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from rho1bench.sizing.shapes import ModelShape, find_shape

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
PositiveInt = Annotated[int, Field(gt=0)]
MAX_SEED = 4_000_000_000
"""Generators of random numbers (numpy's, vLLM's) take 32 bits."""
MAX_WORKERS = 1024
"""Threads or processes of one stage; a system ends a process that asks for more than it allows."""
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Workers = Annotated[int, Field(gt=0, le=MAX_WORKERS)]
Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
STAGE_KINDS_KEY = "x-stage-kinds"
LOCAL_KEY = "x-local"
CHECKPOINT, METRICS = "checkpoint/*", "metrics.jsonl"
"""Files of a training stage: its last checkpoint, and the numbers of its steps."""


@dataclass(frozen=True)
class StageRef:
    """Marks a field that names an earlier stage, and says which kinds may stand there."""

    kinds: tuple[str, ...]
    files: str | None = "*"
    """Pattern of the files in that stage's folder that are read, and hashed again before; None where their reader does
    so itself."""
    passed_on: bool = False
    """Whoever reads the stage of the field reads the named one too."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Carry the mark into the JSON schema, where ``loading.json_schema`` finds it."""
        return {**handler(core_schema), STAGE_KINDS_KEY: list(self.kinds)}


@dataclass(frozen=True)
class LocalRef:
    """Marks a field that names something on this machine, sought beside the recipe file that says so.

    ``files``: a file, folder or glob that must be there. ``folder``: a folder, else the name of something on the hub.
    """

    what: Literal["files", "folder"]

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Carry the mark into the JSON schema, where ``loading.json_schema`` finds it."""
        return {**handler(core_schema), LOCAL_KEY: self.what}


@dataclass(frozen=True)
class Operational:
    """Marks a field that changes how, where or how fast a result is made, and nothing that it says.

    At most numbers are added up in another order. Every other field is semantic: a stage whose semantic fields change
    is made anew, one whose operational fields change is not.
    """

    reason: str
    """Why no result depends on the field."""


SUM_ORDER = "numbers are added up in another order"
HubName = Annotated[str, Field(min_length=1), LocalRef("folder")]
"""The name of a model, tokenizer or data set on the hub, or a folder."""


class Model(BaseModel):
    """Base of every recipe model: frozen; an unknown key is an error, and so is a value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class PretrainedModel(Model):
    """Weights that no stage of this recipe has made."""

    pretrained: HubName
    """A hub id (``organisation/name``) or a folder; only safetensors are read."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""

    @property
    def shape(self) -> ModelShape | None:
        """The shape of the model; None where it is not known without a network."""
        return find_shape(self.pretrained, self.revision)


class Distributed(Model):
    """How the processes of a launch train together; how many there are says the command (``--nodes``,
    ``--gpus-per-node``). In one process, and without it, the stage trains by itself."""

    strategy: Literal["ddp", "fsdp2", "deepspeed"]
    """``ddp``: a whole model in each process; ``fsdp2``: weights, gradients and optimizer sharded over the processes;
    ``deepspeed``: ZeRO stage 2, gradients and optimizer sharded."""
    shard_over: Annotated[Literal["all", "node"], Operational(SUM_ORDER)] = "all"
    """Of ``fsdp2``: ``node`` keeps one whole set of shards on every node and adds up gradients between nodes (HSDP);
    each process then holds more, and weights travel within nodes only."""

    @model_validator(mode="before")
    @classmethod
    def _is_no_launch(cls, data: object) -> object:
        if isinstance(data, dict) and "num_processes" in data:
            raise ValueError(
                "num_processes is no part of a recipe any more; leave it out, and say `--nodes N --gpus-per-node G` to "
                "`rho1bench run`"
            )
        return data


@dataclass(frozen=True)
class StageSpec:
    """How a kind of stage is carried out, and what its result depends on besides recipe and inputs."""

    entry: str
    """``"module:function"``; the modules that it imports inside the package enter the fingerprint."""
    packages: tuple[str, ...] = ()
    """Distributions that the result may depend on: where one has another version, the user is asked. Settings can
    add more (``StageBase.packages``)."""
    shipped: tuple[str, ...] = ()
    """Shipped folders whose files enter the fingerprint, with the modules that they name (``"tasks"``)."""
    parallel_safe: bool = False
    """May run beside a neighbour that it does not need, in a process of its own, where the recipe has ``jobs``."""
    reads_all: bool = False
    """Reads every earlier stage, not only those that it names."""
    takes_files: bool = False
    """Checks whose files its folder holds, and so goes on with what was made beforehand (``rho1bench score``)."""


@dataclass(frozen=True)
class StageSizes:
    """What is known of a stage's sizes from the recipe alone; None where nothing is."""

    steps: int | None = None
    tokens: int | None = None
    blocks: int | None = None
    documents: int | None = None
    weights: int | None = None
    bytes: int | None = None
    """On disk."""


class Variant(Model):
    """Which variant of a matrix a stage is; written by ``loading.matrix``, read by statistics, plan and report."""

    group: Name
    """The stage of the recipe that has the matrix."""
    labels: dict[str, str]
    """The variant's label on every axis, ``{"selection": "excess", "optimizer.learning_rate": "lr2e-3"}``."""


class StageBase(Model):
    """What every kind of stage has. A new kind is a subclass with its ``kind`` and ``spec``, and its entry function."""

    name: Name
    kind: str
    seed: Seed | None = None
    """Random seed of this stage; default: the recipe's."""
    variant: Annotated[Variant | None, Operational("what the stage is called beside others")] = None
    """Given to stages that a ``matrix`` expands into; no result depends on it."""
    spec: ClassVar[StageSpec]

    def sizes(self, recipe: StageLookup) -> StageSizes:
        """Return the rough sizes of the stage, without reading anything but the recipe."""
        return StageSizes()

    def depends_on(self) -> frozenset[str]:
        """Return the names of operational fields that the result of this very stage depends on after all."""
        return frozenset()

    def packages(self) -> tuple[str, ...]:
        """Return the distributions that the result of this very stage may depend on."""
        return self.spec.packages

    @property
    def in_ranks(self) -> bool:
        """Whether all processes of a launch work on the stage; else it is one process."""
        return False

    def reads(self) -> Iterator[tuple[str, str | None]]:
        """Yield the stages that it names, each with the pattern of :attr:`StageRef.files`."""
        return ((name, mark.files) for _, name, mark in references(self))


S = TypeVar("S", bound=StageBase)
R = TypeVar("R", StageRef, LocalRef, Operational)


class StageLookup(Protocol):
    """Stages by name: a recipe, or the part of one that has been checked so far."""

    def stage(self, name: str, model: type[S]) -> S:
        """Return the stage called ``name``, which is a ``model``."""


def references(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, str, StageRef]]:
    """Yield ``(key path, stage name, reference)`` for every stage that ``model`` names, nested models included."""
    for field_name, marks in marks_of(type(model), StageRef).items():
        value = getattr(model, field_name, None)
        path = f"{prefix}{field_name}"
        if isinstance(value, BaseModel):
            yield from references(value, f"{path}.")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from references(item, f"{path}.{index}.")
                elif marks:
                    yield f"{path}.{index}", item, marks[0]
        elif isinstance(value, dict) and marks:
            yield from ((f"{path}.{key}", item, marks[0]) for key, item in value.items())
        elif isinstance(value, str) and marks:
            yield path, value, marks[0]


@cache
def marks_of(model: type[BaseModel], mark: type[R]) -> dict[str, list[R]]:
    """Return every field of a model with its marks of one kind, those inside lists and unions included."""
    return {
        name: [found for found in info.metadata if isinstance(found, mark)] + _nested_marks(info.annotation, mark)
        for name, info in model.model_fields.items()
    }


def _nested_marks(annotation: object, mark: type[R]) -> list[R]:
    marks = [found for found in getattr(annotation, "__metadata__", ()) if isinstance(found, mark)]
    for argument in getattr(annotation, "__args__", ()):
        marks += _nested_marks(argument, mark)
    return marks
