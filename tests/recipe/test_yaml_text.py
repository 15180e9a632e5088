"""YAML of recipes: numbers and truth values are those of YAML 1.2, and what is written is read back as it was."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rho1bench.recipe.loading import yaml_text
from rho1bench.recipe.loading.yaml_text import dump_yaml, parse_yaml

TEXT = st.text(st.characters(exclude_characters="\x85\u2028\u2029"))  # PyYAML folds these, whatever its settings
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10), ("-007", -7), ("+5", 5), ("0x1F", 31), ("1:30", "1:30"), ("14_000", 14000),
        ("_1", "_1"), ("1_", "1_"), ("0o17", "0o17"),
        ("1e3", 1000.0), ("1E-3", 0.001), ("5.", 5.0), (".5", 0.5), ("-1.5e+2", -150.0), (".inf", math.inf),
        ("-.INF", -math.inf), ("1.2.3", "1.2.3"), ("12e", "12e"),
        ("yes", "yes"), ("No", "No"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("true", True), ("False", False), ("~", None), ("null", None), ("'4'", "4"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    found = parse_yaml(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


@given(VALUES)
def test_what_is_written_is_read_back(value):
    assert parse_yaml(dump_yaml({"a": value})) == {"a": value}


@pytest.mark.parametrize(
    "text", ["1e3", "010", "0x1F", "true", "1:30", "yes", ".5", "~", "+1", "2024-01-01", "0o17", "1_0"]
)
def test_text_that_looks_like_something_else_stays_text(text):
    assert parse_yaml(dump_yaml([text])) == [text]


@given(VALUES)
def test_libyaml_and_python_read_alike(value):
    text = yaml.safe_dump({"a": value, "b": [value]}, allow_unicode=True)
    assert parse_yaml(text) == yaml_text._read(yaml_text._PythonLoader, text)[1]


@pytest.mark.parametrize("text", ["- " * 200_000 + "x", "[\n" * 200_000, "a: " + "{b: " * 50_000])
def test_depth_without_end_is_an_error_and_no_crash(text):
    with pytest.raises(RecursionError):
        parse_yaml(text)


def test_aliases_of_aliases_without_end_are_an_error() -> None:
    lines = ["a0: &a0 [x, x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    assert parse_yaml("\n".join(lines[:5]))["a4"][2][2][2][2] == ["x", "x", "x"]
    with pytest.raises(yaml.YAMLError, match="more than 2000000 values"):
        parse_yaml("\n".join(lines))


def test_halves_of_a_character_are_joined_and_one_alone_is_an_error() -> None:
    assert parse_yaml('"\\ud83d\\ude00"') == "\U0001f600"
    for text in ('"\\ud83d"', '"a\\ude00\\ud83d"', '{"\\ud83d": 1}'):
        with pytest.raises(yaml.YAMLError, match="half of a character"):
            parse_yaml(text)


@pytest.mark.parametrize(
    ("key", "what"), [("~", "nothing"), ("", "nothing"), ("true", "truth"), ("2024-01-01", "date")]
)
def test_keys_that_are_no_names_are_an_error(key: str, what: str) -> None:
    with pytest.raises(yaml.YAMLError, match=f"read as a? ?{what}"):
        parse_yaml(f"b: 1\n? {key}\n: 1\n")


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
def test_recipes_are_read_by_libyaml():
    assert issubclass(yaml_text._Loader, yaml.CSafeLoader)
