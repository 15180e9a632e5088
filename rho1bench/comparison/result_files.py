"""The JSON files of results as pydantic models with a version: ``results.json``, ``comparison.json``, ``summary.json``.

Place in the pipeline: ``evaluation``, ``comparison`` and ``report`` write these files through :func:`as_json`; whoever
reads one goes through :func:`read_result_file`, so that a file of another version is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rho1bench.errors import DataError
from rho1bench.system.files import read_json

JsonObject = dict[str, Any]
"""A JSON object whose keys are not ours to name: settings of lm-eval, of an engine, of a recipe."""
SCHEMA: Literal[1] = 1
"""Version of the three files; raised when the meaning of a field changes."""
_SHOWN = 3


class ResultModel(BaseModel):
    """Base of all parts of the files: frozen, strict about keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


M = TypeVar("M", bound=ResultModel)


def as_json(model: ResultModel) -> JsonObject:
    """Return a model as its file holds it; fields that were never set are left out."""
    data: JsonObject = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return data


def read_result_file(path: Path, model: type[M], what: str, advice: str, *, part: str | None = None) -> M:
    """Read one file (or one ``part`` of it) as ``model``.

    ``what`` the file should be and the ``advice`` on what to do go into the message. Raises ``DataError`` where it is
    missing, no JSON, of another version, or not what the model says.
    """
    try:
        data = read_json(path)
        data = data if part is None else data[part]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: not {what} ({error!r}). {advice}") from error
    if isinstance(data, Mapping) and data.get("schema") != SCHEMA:
        version = f"version {data['schema']!r}" if "schema" in data else "no version"
        raise DataError(f"{path}: has {version}; this version of rho1bench reads version {SCHEMA}. {advice}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise DataError(f"{path}: not {what} ({'; '.join(schema_problems(error, _SHOWN))}). {advice}") from error


def schema_problems(error: ValidationError, shown: int) -> Iterator[str]:
    """Yield the first ``shown`` problems in words, then how many more there are."""
    details = error.errors(include_url=False)
    for detail in details[:shown]:
        yield f"{'.'.join(map(str, detail['loc'])) or 'the record'}: {detail['msg']}"
    if len(details) > shown:
        yield f"and {len(details) - shown} further problems of form"
