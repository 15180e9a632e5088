"""A hundred broken recipes, made by Hypothesis from the schema: each is told before the first stage, with code 2."""

from __future__ import annotations

import contextlib
import copy
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_recipe import SMALL

from rho1bench.cli.app import app, main
from rho1bench.recipe import references
from rho1bench.recipe.loading.file_schema import file_schema
from rho1bench.recipe.loading.json_schema import Node, recipe_node, stage_node
from rho1bench.recipe.loading.load import load_recipe, shipped_recipes
from rho1bench.recipe.loading.yaml_text import dump_yaml, parse_yaml

COMMAND = typer.main.get_command(app)
"""Made once: that takes longer than a small recipe."""
WHOLE = parse_yaml(SMALL.read_text())
VALIDATOR = jsonschema.Draft202012Validator(file_schema())
Place = tuple[str | int, ...]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=True),
    st.text(max_size=6),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["ratio", "kind", "x"]), st.integers(0, 2), max_size=2),
)


def mappings(node: Node, value: Any, path: Place) -> Iterator[tuple[Place, Node]]:
    """Every mapping of the recipe whose keys the schema knows."""
    if isinstance(value, dict):
        yield path, node.resolve(value)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from mappings(node.child(key, value), inner, (*path, key))


MAPPINGS = [
    ((), recipe_node()),
    *(
        found
        for place, one in enumerate(WHOLE["stages"])
        for found in mappings(stage_node(one["kind"]), one, ("stages", place))
    ),
]
KEYS = [(*path, key) for path, node in MAPPINGS for key in node.keys if key not in ("matrix", "variant")]
REQUIRED = [(*path, key) for path, node in MAPPINGS for key in node.schema.get("required", ())]
REFERENCES: list[Place] = [
    ("stages", index, *(int(part) if part.isdecimal() else part for part in path.split(".")))
    for index, one in enumerate(load_recipe(str(SMALL)).stages)
    for path, _, _ in references(one)
]
SUITES: list[Place] = [("stages", 6, "evaluations", 0, "suites", 0)]
SOURCES: list[Place] = [("stages", index, "sources", 0) for index in (0, 1)]


def at(data: Any, path: Place) -> Any:
    for part in path:
        data = data[part]
    return data


@st.composite
def broken(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """The small recipe with one thing wrong, and a word that the message must hold."""
    data = copy.deepcopy(WHOLE)
    what = draw(st.sampled_from(["value", "value", "value", "key", "missing", "reference", "suite", "file"]))
    if what == "value":
        *above, key = draw(st.sampled_from(KEYS))
        at(data, tuple(above))[key] = draw(VALUES)
        assume(not VALIDATOR.is_valid(data) or breaks_numbers(at(data, (*above, key))))
        return data, ""
    if what == "key":
        path, node = draw(st.sampled_from(MAPPINGS))
        key = draw(st.text("abcdefgh_", min_size=1, max_size=8))
        assume(key not in (*node.keys, "extends", "drop", "matrix"))
        at(data, path)[key] = draw(VALUES)
        return data, key
    if what == "missing":
        *above, key = draw(st.sampled_from(REQUIRED))
        del at(data, tuple(above))[key]
        return data, str(key)
    if what == "file":
        name = draw(st.text("abc./", min_size=1, max_size=6)) + "no.jsonl"
        *above, key = draw(st.sampled_from(SOURCES))
        at(data, tuple(above))[key] = {"type": "local", "path": name}
        return data, "does not exist"
    *above, key = draw(st.sampled_from(SUITES if what == "suite" else REFERENCES))
    name = draw(st.text("abcdefgh", min_size=1, max_size=8).filter(lambda name: name not in ("base", "web")))
    at(data, tuple(above))[key] = name
    return data, name


def breaks_numbers(value: Any) -> bool:
    """JSON Schema knows no infinity; recipes refuse it."""
    return isinstance(value, float) and not math.isfinite(value)


@settings(max_examples=100)
@given(case=broken())
def test_each_of_a_hundred_broken_recipes_is_told_before_the_first_stage(
    case: tuple[dict[str, Any], str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data, word = case
    folder = tmp_path_factory.mktemp("broken")
    path = folder / "recipe.yaml"
    path.write_text(dump_yaml(data), encoding="utf-8")
    code, said = called("run", path, "--output", folder / "run")
    assert code == 2, said
    assert said.startswith(f"error: the recipe {path} has ")
    assert word in said
    assert "Traceback" not in said
    assert not (folder / "run").exists()


def called(*arguments: object) -> tuple[object, str]:
    """The command in this process: its exit code and what it says on stderr."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr("rho1bench.pipeline.runner.run_recipe", lambda *_: pytest.fail("the run has begun"))
        patch.setattr("rho1bench.cli.app.app", COMMAND)
        patch.setattr("sys.argv", ["rho1bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    return end.value.code, said.getvalue()


def test_the_schema_takes_what_ships_and_the_small_recipe() -> None:
    jsonschema.Draft202012Validator.check_schema(file_schema())
    for path in (SMALL, *shipped_recipes().values()):
        assert list(VALIDATOR.iter_errors(parse_yaml(Path(path).read_text()))) == [], path
