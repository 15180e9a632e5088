"""Writes a first recipe: a shipped one to change, or a whole one over a user's text; see ``rho1bench init``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from rho1bench.errors import RecipeError, RunError
from rho1bench.recipe.loading.file_schema import file_schema
from rho1bench.recipe.loading.layers import read_layers
from rho1bench.recipe.loading.load import find_recipe, load_recipe, shipped_recipes
from rho1bench.recipe.starter.own_text import OwnText, read_own_text
from rho1bench.system.disk_errors import reason
from rho1bench.system.files import write_json, write_text

SCHEMA = "recipe.schema.json"
PLENTY = 2000
"""Documents that surely give a vocabulary of 1,000; of fewer, bytes and some pairs."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_HERE = Path(__file__).parent


def write_recipe(
    name: str, base: str | None = None, text: Sequence[str] = (), curated: Sequence[str] = (), folder: Path = Path()
) -> list[Path]:
    """Write ``folder``/``name``.yaml and the schema for editors, and return what was written.

    Args:
        name: of the recipe and its file.
        base: a shipped recipe or a file to extend; default quickstart.
        text: files, folders or globs with the user's own text, in place of ``base``.
        curated: such with the text that the reference learns from; default: a part of ``text``.
        folder: where to write.

    Raises:
        RecipeError: the name, the base or the text cannot be used. RunError: the recipe is there already, or the folder
            cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise RecipeError(f"init {name}: a recipe's name has lower-case letters, digits, '-' and '_', at most 64.")
    path = folder / f"{name}.yaml"
    if path.exists():
        raise RunError(f"{path}: is there already. Give another name, or remove it.")
    if curated and not text:
        raise RecipeError("--curated goes with --text: it is what the reference of your own text learns from.")
    if text and base:
        raise RecipeError("--from and --text exclude each other: one extends a recipe, the other writes a whole one.")
    try:
        filled = _over_own_text(name, path, text, curated) if text else _extending(name, path, base or "quickstart")
        write_text(path, filled)
        write_json(folder / SCHEMA, file_schema())
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {reason(error)}. Give another folder with --output.") from error
    load_recipe(str(path))
    made = [folder / f"{name}.{what}.jsonl" for what in ("text", "curated")]
    return [path, folder / SCHEMA, *(file for file in made if file.exists() and text)]


def _extending(name: str, path: Path, base: str) -> str:
    source = find_recipe(base)
    extends = base if base in shipped_recipes() else os.path.relpath(source, path.parent.absolute())
    stages: list[Mapping[str, Any]] = read_layers(source, shipped_recipes()).data.get("stages") or []
    width = max((len(str(stage["name"])) for stage in stages), default=0)
    listed = [f"#   {stage['name']!s:<{width}}  {stage['kind']}" for stage in stages]
    return _fill(
        "extending",
        name=name,
        file=path,
        base=base,
        extends=extends,
        stages="\n".join(listed),
        last=stages[-1]["name"] if stages else "",
        example="\n".join(_example(stages)),
    )


def _example(stages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield commented lines that change a training stage of the recipe."""
    trained = [stage for stage in stages if stage["kind"] in ("pretrain", "sft")]
    selecting = next((stage for stage in trained if isinstance(stage.get("selection"), dict)), None)
    if selecting is not None:
        yield f"#   - name: {selecting['name']}"
        yield "#     selection: {ratio: 0.5}"
    for stage in trained[:1]:
        yield f"#   - name: {stage['name']}"
        yield f"#     max_steps: {stage.get('max_steps', 100)}"


def _over_own_text(name: str, path: Path, text: Sequence[str], curated: Sequence[str]) -> str:
    own = read_own_text("--text", text, path.parent, f"{name}.text")
    target = read_own_text("--curated", curated, path.parent, f"{name}.curated") if curated else own
    held = min(200, max(5, target.num_documents // 10))
    learnt = None if curated else max(5, own.num_documents // 4)
    words = "The reference learns from the curated text." if curated else (
        "The reference learns from a quarter of it (self-reference, table 3 of the paper); text that is closer to your "
        "goal\n# is better: `rho1bench init NAME --text FILES --curated FILES`."
    )  # fmt: skip
    return _fill(
        "own_text",
        name=name,
        file=path,
        what=", ".join(own.paths).replace("\n", " ") + f" ({own.num_documents:,} documents or more)",
        reference_words=words,
        vocab_size=1000 if own.num_documents >= PLENTY else 300,
        first_documents=_sources(own, min(own.num_documents, 2000)),
        held_out=_sources(target, held),
        curated=_sources(target, learnt, held),
        text=_sources(own, None, 0 if curated else held),
        text_budget=_budget(own, 307_200),
        curated_budget=_budget(target, 204_800),
    )


def _sources(own: OwnText, num_documents: int | None = None, offset: int = 0) -> str:
    """Return a flow mapping for each path; a number or an offset counts in the first, where there are several."""
    sources: list[dict[str, object]] = [
        {"type": "local", "path": place, "text_field": own.text_field} for place in own.paths
    ]
    if num_documents is not None:
        sources = [{**sources[0], "num_documents": num_documents}]
    if offset:
        sources[0]["offset"] = offset
    return "\n      - ".join(json.dumps(source, ensure_ascii=False) for source in sources)


def _budget(own: OwnText, num_tokens: int) -> str:
    """Return the lines that keep so much of a long text; of several sources, which are read in turn, all is kept."""
    return (
        ""
        if len(own.paths) > 1
        else f"\n    num_tokens: {num_tokens}          # the first; all that max_steps reads\n    at_most: true"
    )


def _fill(template: str, **values: object) -> str:
    text = (_HERE / f"{template}.yaml").read_text(encoding="utf-8")
    return Template(text).substitute(values)
