"""What all models of a recipe are made of: names and numbers, the mark of a field that names an earlier stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
STAGE_KINDS_KEY = "x-stage-kinds"


@dataclass(frozen=True)
class StageRef:
    """Marks a field that names an earlier stage, and says which kinds may stand there."""

    kinds: tuple[str, ...]

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        """Carry the mark into the JSON schema, where ``schema`` finds it."""
        return {**handler(core_schema), STAGE_KINDS_KEY: list(self.kinds)}


class Model(BaseModel):
    """Base of every recipe model: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PretrainedModel(Model):
    """Weights that no stage of this recipe has made."""

    pretrained: Annotated[str, Field(min_length=1)]
    """A hub id (``organisation/name``) or a folder; only safetensors are read."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""


class StageBase(Model):
    """What every stage has."""

    name: Name


def references(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, str, StageRef]]:
    """Yield ``(key path, stage name, reference)`` for every stage that ``model`` names, nested models included."""
    for field_name, info in type(model).model_fields.items():
        value = getattr(model, field_name)
        path = f"{prefix}{field_name}"
        marks = [mark for mark in info.metadata if isinstance(mark, StageRef)] + _nested_marks(info.annotation)
        if isinstance(value, BaseModel):
            yield from references(value, f"{path}.")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from references(item, f"{path}.{index}.")
                elif marks:
                    yield f"{path}.{index}", item, marks[0]
        elif isinstance(value, str) and marks:
            yield path, value, marks[0]


def _nested_marks(annotation: Any) -> list[StageRef]:
    """Find the marks inside ``list[Annotated[...]]`` and unions."""
    marks = [mark for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, StageRef)]
    for argument in getattr(annotation, "__args__", ()):
        marks += _nested_marks(argument)
    return marks
