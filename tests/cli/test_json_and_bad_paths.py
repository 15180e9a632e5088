"""``--json`` of lists and tables, ``-h``, and paths that cannot be: one message, code 2, no traceback."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
from small_recipe import SMALL

from rho1bench.cli.app import main


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
        ("leaderboard", "check", "--results", "/proc/version"),
        ("leaderboard", "build", "--results", "/proc/nope"),
        ("run", SMALL, "--json", "plan.json"),
    ],
)
def test_a_path_that_cannot_be_is_one_message(arguments):
    code, printed, said = called(*arguments)
    assert code == 2
    assert said.startswith("error: ")
    assert "Traceback" not in printed + said


@pytest.mark.parametrize("command", [(), ("run",), ("leaderboard", "add"), ("grade",)])
def test_h_is_help(command):
    code, printed, _ = called(*command, "-h")
    assert code == 0
    assert "Usage:" in printed


def test_a_suggestion_ends_once():
    assert "?. " not in called("runn")[2]
