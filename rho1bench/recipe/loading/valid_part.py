"""What is valid of data that has problems, as a typed model: so that rules can judge the rest of a broken stage."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

M = TypeVar("M", bound=BaseModel)


class Unknown(AttributeError):
    """A field was read whose value is missing or wrong; the problem itself has been told."""


def valid_part(model: type[M], data: dict[str, Any]) -> M:
    """Return ``data`` as ``model``, which it need not fulfil: wrong fields are absent, and reading one raises Unknown.

    Nested models keep their valid fields too. What is valid on its own but breaks a rule of a nested model is absent.
    """
    values: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        try:
            if name in data:
                values[name] = _valid_value(model, name, info, data[name])
            elif not info.is_required():
                values[name] = info.get_default(call_default_factory=True)
        except Unknown:
            continue
    part: M = _partial(model).model_construct(_fields_set=set(values), **values)
    for name in model.model_fields.keys() - values.keys():
        part.__dict__.pop(name, None)  # where pydantic has put the default
    return part


@cache
def _partial(model: type[M]) -> type[M]:
    """Return a subclass of ``model`` whose absent fields, and properties that read them, raise ``Unknown``."""

    def absent(self: BaseModel, name: str) -> Any:
        raise Unknown(name)

    return type(model.__name__, (model,), {"__getattr__": absent, "__module__": model.__module__})


def _valid_value(model: type[BaseModel], name: str, info: FieldInfo, value: Any) -> Any:
    try:
        return _adapter(model, name).validate_python(value)
    except ValidationError:
        return _valid_nested(info.annotation, value)


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    info = model.model_fields[name]
    annotated: Any = Annotated[info.annotation, info]
    return TypeAdapter(annotated)


def _valid_nested(annotation: Any, value: Any) -> Any:
    """Return the valid part of a mapping, or of a list of mappings; raises Unknown for anything else."""
    if isinstance(value, dict):
        models = [model for model in _models(annotation) if set(model.model_fields) & set(value)]
        if models:
            best = max(models, key=lambda model: len(set(model.model_fields) & set(value)))
            part = valid_part(best, value)
            if set(best.model_fields) - {"kind", "type"} & part.model_fields_set and not _breaks_own_rule(best, value):
                return part
    if isinstance(value, list) and get_origin(_bare(annotation)) is list:
        (inner,) = get_args(_bare(annotation))
        return [_valid_item(inner, item) for item in value]
    raise Unknown


def _valid_item(annotation: Any, item: Any) -> Any:
    try:
        return TypeAdapter(annotation).validate_python(item)
    except ValidationError:
        return _valid_nested(annotation, item)


def _breaks_own_rule(model: type[BaseModel], value: dict[str, Any]) -> bool:
    """Tell whether ``value`` breaks a rule between the fields of ``model``, apart from fields that are wrong."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        return any(not detail["loc"] for detail in error.errors(include_url=False))
    return False


def _bare(annotation: Any) -> Any:
    """Return an annotation without ``Annotated`` around it, and without ``| None``."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    alternatives = [part for part in get_args(annotation) if part is not type(None)]
    if type(None) in get_args(annotation) and len(alternatives) == 1:
        return _bare(alternatives[0])
    return annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation allows at its place, unions included."""
    bare = _bare(annotation)
    if isinstance(bare, type):
        return [bare] if issubclass(bare, BaseModel) else []
    if get_origin(bare) is list:
        return []
    return [model for part in get_args(bare) for model in _models(part)]
