"""Every code block of every Markdown file: commands are parsed by the command line itself, YAML by the recipes' models,
Python is run; links lead somewhere. Blocks that are no code say ``text``.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from rho1bench.cli.app import app
from rho1bench.paper.suites import SHORT_NAMES, SUITES
from rho1bench.recipe.loading.file_schema import file_schema
from rho1bench.recipe.loading.layers import read_layers
from rho1bench.recipe.loading.load import load_recipe, shipped_recipes
from rho1bench.recipe.loading.matrix import expand_matrices
from rho1bench.recipe.models import rule_specs
from rho1bench.recipe.models.built_in_rules import BUILT_IN
from rho1bench.recipe.models.rule_specs import RuleSpec
from rho1bench.recipe.part import part_of

ROOT = Path(__file__).parent.parent
FILES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {"runs", "build", "dist"} & set(path.relative_to(ROOT).parts)
    and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
HISTORY = ROOT / "CHANGELOG.md"
"""Speaks of what was; its blocks count, the commands between its words do not."""
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:rho1bench|make) [^`]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
OTHERS = {"pip", "python", "python3", "unzip", "git", "cd", "docker", "lm_eval", "accelerate", "code", "sbatch"}
HEAVY_RECIPES = {"when_it_pays", "contest", "table_3", "table_4", "table_5", "figure_9"}
"""Take a second or more to load; the sweep does."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where, the words after its fence, and its text."""

    file: Path
    line: int
    info: list[str]
    text: str

    @property
    def language(self) -> str:
        return self.info[0] if self.info else "sh"

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"


def blocks(file: Path) -> list[Block]:
    text = file.read_text(encoding="utf-8")
    return [
        Block(file, text[: found.start()].count("\n") + 1, found["info"].split(), textwrap.dedent(found["text"]))
        for found in FENCE.finditer(text)
    ]


BLOCKS = [block for file in FILES for block in blocks(file)]


def of(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [one for one in BLOCKS if one.language in languages], ids=str)


# --- commands -------------------------------------------------------------------------------------------------------


@cache
def command_line() -> tuple[Any, list[tuple[str, Mapping[str, Any]]]]:
    """The command line with every command replaced by one that notes what it was given."""
    seen: list[tuple[str, Mapping[str, Any]]] = []

    def replace(command: Any, name: str) -> None:
        command = getattr(command, "built", command)
        for word, part in getattr(command, "commands", {}).items():
            replace(part, f"{name} {word}".strip())
        if not getattr(command, "commands", None):
            command.callback = lambda _name=name, **given: seen.append((_name, given))

    root = typer.main.get_command(app)
    replace(root, "")
    return root, seen


def parsed(words: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
    """What the command line makes of the words after ``rho1bench``; raises its usage errors."""
    root, seen = command_line()
    seen.clear()
    root(list(words), standalone_mode=False, prog_name="rho1bench")
    return seen[0] if seen else ("", {})


def commands_of(text: str) -> Iterator[list[str]]:
    """Each command of a shell block, without assignments before it and what it is piped into."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "&&"]:
            if set(word) <= set("&|;"):
                while words and re.match(r"[A-Z_0-9]+=", words[0]):
                    words.pop(0)
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def make_targets() -> set[str]:
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    return set(line.split()[1:])


def check_command(words: Sequence[str], *, whole: bool = True) -> None:
    """Fail where a command cannot be what it says; ``whole`` commands have all that they need."""
    program, *rest = words
    if program == "rho1bench":
        rest = rest[: rest.index(">")] if ">" in rest else rest
        try:
            name, given = parsed(rest)
        except Exception as error:
            said = error.format_message() if hasattr(error, "format_message") else repr(error)
            if whole or not said.startswith("Missing"):
                pytest.fail(f"{' '.join(words)}: {said}")
        else:
            check_values(name, given)
    elif program == "make":
        settings = dict(word.split("=", 1) for word in rest if "=" in word)
        targets = {word for word in rest if "=" not in word}
        assert targets <= make_targets(), f"{' '.join(words)}: the Makefile has no such target"
        check_values("run", {"recipe": settings.get("RECIPE")})
    elif program == "pip" and rest[0] == "install":
        extras = set((ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split())
        assert all(f"{word[10:-1]}" in extras for word in rest if word.startswith("rho1bench["))
    elif program == "lm_eval":
        names = rest[rest.index("--tasks") + 1].split(",")
        assert all(name in SUITES or list((ROOT / "tasks").rglob(f"{name}.yaml")) for name in names)
    else:
        assert program in OTHERS, f"{' '.join(words)}: what is {program!r}?"


def check_values(name: str, given: Mapping[str, Any]) -> None:
    """Load the shipped recipe that a command names, with its ``--set`` and ``--only``; look its suites up."""
    recipe = given.get("recipe")
    if recipe in shipped_recipes() and recipe not in HEAVY_RECIPES and name != "sweep":
        loaded = load_recipe(recipe, given.get("overrides") or ())
        if given.get("only"):
            part_of(loaded, given["only"])
    elif recipe is not None:
        assert recipe in shipped_recipes() or recipe.endswith(".yaml") or recipe.isupper(), f"{recipe}: no recipe"
    if name == "eval":
        for suite in given.get("suite") or ():
            word = suite.removeprefix("gold_answers:")
            assert word in SHORT_NAMES or word in SUITES or word.startswith("corpus:"), suite


@of("sh", "bash", "console")
def test_every_command_is_one(block: Block) -> None:
    found = list(commands_of(block.text))
    assert found
    for words in found:
        check_command(words)


@pytest.mark.parametrize(
    "file", [file for file in FILES if file != HISTORY], ids=lambda file: str(file.relative_to(ROOT))
)
def test_commands_between_words_are_commands(file: Path) -> None:
    prose = FENCE.sub("", file.read_text(encoding="utf-8"))
    for found in INLINE.findall(prose):
        text = " ".join(found.replace("&lt;", "<").split())
        if "..." not in text and "<" not in text:
            for words in commands_of(text.replace("|", "\\|")):
                for alternative in alternatives(words):
                    check_command(alternative, whole=False)


def alternatives(words: list[str]) -> Iterator[list[str]]:
    """``leaderboard add|build`` is two commands; of other words with ``|`` the first is meant."""
    several = next((place for place, word in enumerate(words) if "|" in word), None)
    if several is None:
        yield words
        return
    for word in words[several].split("|"):
        yield from alternatives([*words[:several], word, *words[several + 1 :]])


@pytest.mark.sweep
@pytest.mark.parametrize("recipe", sorted(HEAVY_RECIPES))
def test_commands_name_what_large_recipes_have(recipe: str) -> None:
    loaded = load_recipe(recipe)
    for block in BLOCKS:
        for words in commands_of(block.text) if block.language == "sh" else ():
            if words[0] == "rho1bench" and recipe in words and "--only" in words:
                part_of(loaded, parsed(words[1:])[1]["only"])


# --- other blocks ---------------------------------------------------------------------------------------------------


@of("yaml")
def test_every_yaml_block_is_part_of_a_recipe(block: Block, tmp_path: Path) -> None:
    """A list is stages; a mapping is a recipe, or fields of a stage whose kind stands beside the fence's ``yaml``."""
    data = yaml.safe_load(block.text)
    path = tmp_path / "recipe.yaml"
    if isinstance(data, dict) and "stages" in data:
        path.write_text(block.text)
        load_recipe(str(path))
        return
    if isinstance(data, dict):
        data = [{"name": "one", "kind": block.info[1]} | data]
    path.write_text(yaml.safe_dump({"name": "fragment", "stages": data}, sort_keys=False))
    raw = read_layers(path, {})
    jsonschema.validate({"extends": "quickstart", **raw.data}, file_schema())
    expand_matrices(raw)
    assert raw.problems == []


@pytest.mark.parametrize(
    "file", sorted({one.file for one in BLOCKS if one.language == "python"}), ids=lambda file: file.name
)
def test_python_blocks_run(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, as one program; a rule that is declared counts as one of the built-in ones."""

    def declared(*values: Any, **named: Any) -> RuleSpec:
        spec = RuleSpec(*values, **named)
        monkeypatch.setitem(BUILT_IN, spec.name, spec)
        return spec

    monkeypatch.setattr(rule_specs, "RuleSpec", declared)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(ROOT / "results")
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(file):
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(file), "exec"), names)


@of("json")
def test_json_blocks_are_json(block: Block) -> None:
    for line in block.text.splitlines() if block.info[1:] == ["lines"] else [block.text]:
        json.loads(line)


@of("text")
def test_text_is_no_hidden_command(block: Block) -> None:
    assert not re.search(r"^(rho1bench|make|pip|python) ", block.text, re.MULTILINE)


def test_every_language_is_known() -> None:
    known = {"sh", "bash", "console", "yaml", "toml", "python", "json", "text"}
    assert {str(one): one.language for one in BLOCKS if one.language not in known} == {}


def test_links_lead_to_files() -> None:
    broken = [
        f"{file.relative_to(ROOT)}: {target}"
        for file in FILES
        for target in LINK.findall(FENCE.sub("", file.read_text(encoding="utf-8")))
        if "://" not in target and not (file.parent / target).exists()
    ]
    assert broken == []
