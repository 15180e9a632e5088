"""Which program a transcript asks for: the newest, on top of what the earlier ones left."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rho1bench.evaluation.tools.transcript import UNREADABLE, program_to_run, split_transcript


def block(program: str, output: str | None = None) -> str:
    text = f"```python\n{program}\n```\n"
    return text if output is None else f"{text}```output\n{output}\n```\n"


def test_the_parts_of_a_transcript():
    text = f"First\n{block('a = 1', '1')}then\n```python\nb\n```"
    assert [(part.kind, part.text) for part in split_transcript(text)] == [
        ("words", "First\n"),
        ("program", "a = 1\n"),
        ("output", "1\n"),
        ("words", "then\n"),
        ("program", "b\n"),
    ]


def test_a_single_program_is_itself():
    assert program_to_run("So\n```python\nx = '\x0c\u2028'\nprint(x)\n```") == "x = '\x0c\u2028'\nprint(x)\n"
    assert program_to_run("no program\n```") == ""


def test_earlier_programs_that_worked_are_kept_without_their_prints():
    text = block("x = 1\nif x:\n    print(x)\n    x = 2", "1") + block("print(x)")
    assert program_to_run(text) == "x = 1\nif x:\n    x = 2\n\nprint(x)\n"


@pytest.mark.parametrize("output", ["ValueError: x", "Exception", "No algorithms are", "cannot do", "[NaN]", "ab...cd"])
def test_earlier_programs_that_failed_leave_their_imports(output: str):
    text = block("import math\nfrom os import path\n    import re\ny = 1", output) + block("print(math.pi)")
    assert program_to_run(text) == "import math\nfrom os import path\nprint(math.pi)\n"


def test_imports_of_failed_programs_stand_above_everything():
    text = block("a = 1", "1") + block("import math", "an error") + block("b = 1")
    assert program_to_run(text) == "import math\na = 1\n\nb = 1\n"


@pytest.mark.parametrize(
    "text",
    [
        "```python\n```",
        "```python\na\n```\nwords\n```python\nb\n```",
        "```python\na\n```\nwords\n```output\n1\n```\n",
    ],
)
def test_mixed_up_fences_make_a_program_that_says_so(text: str):
    assert program_to_run(text) == UNREADABLE


@given(st.lists(st.sampled_from(["```python", "```", "```output", "x = 1", "print(2)", "", "error"]), max_size=12))
def test_any_text_gives_a_program(lines: list[str]):
    text = "\n".join(lines)
    assert isinstance(program_to_run(text), str)
    try:
        parts = split_transcript(text)
    except ValueError:
        return
    assert all(left.kind != "program" or right.kind == "output" for left, right in itertools.pairwise(parts))
