"""``--json`` of lists and tables, ``-h``, completion, and paths that cannot be: one message, code 2, no traceback."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from small_recipe import SMALL

from rho1bench.cli.app import Commands, main

NO_TABLE = {
    "init", "validate", "schema", "analyze", "atlas", "score", "replay", "convert", "inspect answers", "runs prune",
    "sandbox run", "leaderboard add", "leaderboard card", "leaderboard build", "leaderboard serve",
}  # fmt: skip
"""Commands that list nothing; `schema` and `replay` and `sandbox run` print JSON as it is."""


def options_of(command: Callable[..., None]) -> list[str]:
    """The options that a command declares itself."""
    return [
        option
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        for part in getattr(parameter.annotation, "__metadata__", ())
        for option in (part.default, *(part.param_decls or ()))  # typer takes the first word for a default
    ]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command, those of groups included, with its options."""
    for name, target in Commands.targets.items():
        if not isinstance(target, typer.Typer):
            yield name, options_of(target)
            continue
        for command in target.registered_commands:
            yield f"{name} {command.name or command.callback.__name__}", options_of(command.callback)


def called(*arguments: object) -> tuple[object, str, str]:
    """The command in this process: exit code, what it printed, what it said on stderr."""
    out, said = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        patch.setattr("sys.argv", ["rho1bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    return end.value.code, out.getvalue(), said.getvalue()


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (("rules", "excess_loss"), "inputs"),
        (("rules",), "rules"),
        (("plan", SMALL), "gpu_hours"),
        (("run", SMALL, "--dry-run", "--output", "none"), "would"),
    ],
)
def test_json_in_place_of_a_table(arguments, key):
    code, printed, said = called(*arguments, "--json", "-")
    assert code == 0, said
    value = json.loads(printed)
    assert key in (value[0] if isinstance(value, list) else value)


def test_json_in_a_file_beside_the_table_is_told(tmp_path):
    path = tmp_path / "plan.json"
    code, printed, _ = called("plan", SMALL, "--json", path)
    assert code == 0
    assert printed.endswith(f"wrote {path}\n")
    assert json.loads(path.read_text())["stages"][0]["name"] == "tokenizer"
    assert "GPU hours" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", SMALL, "--json", "/proc/x/y"),
        ("run", SMALL, "--output", "/proc/x/y"),
        ("run", "a" * 300),
        ("run", "/proc/self/mem"),
        ("validate", Path(__file__).parent),
        ("init", "mine", "--output", "/proc/nope"),
        ("init", "mine", "--output", __file__),
        ("atlas", Path(__file__).parent, "--output", f"{__file__}/x"),
        ("convert", Path(__file__).parent, "--output", "model"),
        ("leaderboard", "check", "--results", "/proc/version"),
        ("leaderboard", "build", "--results", "/proc/nope"),
        ("leaderboard", "add", Path(__file__).parent, "--results", "/proc/version"),
        ("run", SMALL, "--json", "plan.json"),
        ("rules", "--json", ""),
        ("rules", "--json", __file__ + "/x"),
        ("power", SMALL),
        ("compare", "/proc/version", "x"),
        ("compare", "x", "y", "--results", __file__),
        ("inspect", "diff", __file__, "/proc/x"),
        ("inspect", "answers", "/proc/x/y"),
        ("inspect", "batch", "/proc/x/y", "slm"),
        ("inspect", "tokens", "some text", "--model", "/proc/x/y"),
        ("analyze", "/proc/x/y"),
        ("runs", "list", "/proc/version"),
        ("grade", "/proc/self/mem", "--output", "graded.jsonl"),
        ("replay", "/proc/self/mem"),
        ("convert", "/proc/self/mem", "--output", "model"),
        ("sandbox", "run", "/proc/self/mem"),
        ("validate", "\udcff.yaml"),
    ],
)
def test_a_path_that_cannot_be_is_one_message(arguments):
    code, printed, said = called(*arguments)
    assert code == 2, printed + said
    assert said.startswith("error: ")
    assert said.count("error: ") == 1
    assert "Traceback" not in printed + said


@pytest.mark.sweep
@pytest.mark.parametrize("bad", ["/proc/x/y", "/proc/version", "", "a" * 300, "/proc/self/mem"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("eval",),
        ("eval", Path(__file__).parent, "--output"),
        ("score", Path(__file__).parent, "--output", "scores", "--reference"),
        ("score", Path(__file__).parent, "--reference", Path(__file__).parent, "--output"),
        ("tasks", "prompts", "rho1_gsm8k_cot", "--limit", "1", "--data-root"),
        ("bench", "grade", "--input"),
    ],
)
def test_no_path_ends_with_a_traceback(arguments, bad):
    code, printed, said = called(*arguments, bad)
    assert code in (0, 2)
    assert "Traceback" not in printed + said


@pytest.mark.parametrize("command", ["", *(name for name, _ in commands())])
def test_h_is_help(command):
    code, printed, _ = called(*command.split(), "-h")
    assert code == 0
    assert "Usage:" in printed


def test_every_list_and_table_can_be_had_as_json():
    missing = {name for name, options in commands() if "--json" not in options}
    assert missing == NO_TABLE


@pytest.mark.parametrize(
    ("line", "wanted"),
    [("run quickst", "quickstart_seeds"), ("rules excess", "excess_loss"), ("plan x --gpu h", "h200"), ("ev", "eval")],
)
def test_names_are_completed(monkeypatch, line, wanted):
    words = ["rho1bench", *line.split()]
    monkeypatch.setenv("_RHO1BENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    code, printed, _ = called()
    assert code == 0
    assert wanted in printed.split()


def test_a_suggestion_ends_once():
    assert "?. " not in called("runn")[2]


def test_a_pattern_that_the_shell_has_expanded_is_told_as_that():
    here = sorted(Path(__file__).parent.glob("*.py"))
    code, _, said = called("init", "mine", "--text", *here)
    assert code == 2
    assert f"{here[1]} came after it. Put a pattern in quotes" in said
    assert "unexpected extra argument" in called("init", "mine", "--text", here[0], "no_such_file")[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("eval", "no_such_checkpoint", "--tasks", ""), "names no task"),
        (("eval", "no_such_checkpoint", "--tasks", " , "), "names no task"),
        (("eval", "no_such_checkpoint", "--suite", ""), "no such evaluation suite"),
        (("run", "quickstart", "--only", ""), "--only ''"),
    ],
)
def test_a_shell_s_empty_variable_does_not_mean_everything(words, told):
    code, _, said = called(*words)
    assert code == 2
    assert told in said


@pytest.mark.parametrize(("option", "name"), [("--suite", "mth"), ("--tasks", "mini_gsm8k,mini_svmp")])
def test_a_misspelt_suite_or_task_is_told_before_anything_is_looked_at(option, name):
    code, _, said = called("eval", "no_such_checkpoint", option, name)
    assert code == 2
    assert "Did you mean 'm" in said
    assert "no_such_checkpoint" not in said
