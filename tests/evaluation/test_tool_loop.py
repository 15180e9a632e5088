"""The rules of the paper's tool loop, played with a scripted model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rho1bench.evaluation.engines import Generation, Request, Tick
from rho1bench.evaluation.tools.tool_loop import (
    TIMED_OUT,
    ToolSettings,
    cut_output,
    output_block,
    run_tool_loop,
    run_tool_programs,
    shown_output,
)
from rho1bench.mini_world import sft_samples
from rho1bench.sandbox import ProgramResult


class Script:
    """Answers the n-th call for a prompt with the n-th line of its script; remembers the size of every round."""

    def __init__(self, scripts: dict[str, list[str]]) -> None:
        self.scripts = scripts
        self.rounds: list[list[str]] = []

    def __call__(self, requests: Sequence[Request], tick: Tick) -> list[Generation]:
        self.rounds.append([request.prompt for request in requests])
        return [self._answer(request.prompt) for request in requests]

    def _answer(self, prompt: str) -> Generation:
        name = prompt.split("|")[0]
        call = sum(any(p.startswith(f"{name}|") for p in prompts) for prompts in self.rounds)
        return Generation(self.scripts[name][call - 1], "stop", 3, 5)


def play(settings: ToolSettings | None = None, **scripts: list[str]) -> tuple[dict[str, str], Script]:
    model = Script(scripts)
    requests = [Request(f"{name}|", ("</s>",), 64) for name in scripts]
    transcripts = run_tool_loop(requests, model, settings or ToolSettings(), lambda _: None)
    return {name: transcript.text for name, transcript in zip(scripts, transcripts, strict=True)}, model


PROGRAM = "```python\nprint(1 + 1)\n```\n"


def test_a_round_is_one_call_for_all_unfinished_problems():
    texts, model = play(
        a=["The answer is $\\boxed{1}$."],
        b=[PROGRAM, "The answer is $\\boxed{2}$."],
        c=[PROGRAM, "```python\nprint(3)\n```", "$\\boxed{3}$"],
    )
    assert [len(prompts) for prompts in model.rounds] == [3, 2, 1]
    assert texts["b"] == "```python\nprint(1 + 1)\n```\n```output\n2\n```\nThe answer is $\\boxed{2}$."
    assert model.rounds[1][0] == "b|```python\nprint(1 + 1)\n```\n```output\n2\n```\n"
    assert texts["c"].endswith("```output\n3\n```\n$\\boxed{3}$")


def test_boxed_in_the_newest_output_ends_the_problem_even_with_a_fence_after_it():
    texts, model = play(a=["So $\\boxed{5}$\n```python\nprint(5)\n```"])
    assert len(model.rounds) == 1
    assert "output" not in texts["a"]


def test_no_closing_fence_ends_the_problem():
    texts, model = play(a=["I do not know."])
    assert (texts["a"], len(model.rounds)) == ("I do not know.", 1)


def test_at_most_four_calls():
    texts, model = play(a=[PROGRAM] * 9)
    assert len(model.rounds) == 4
    assert texts["a"].count("```output") == 4
    assert texts["a"].endswith("```\n\nReach max function call limit.")


def test_errors_show_their_last_line_without_the_interpreters_advice():
    texts, _ = play(a=["```python\nvalue = 1\nprint('lost')\nvalues\n```", "end"])
    assert texts["a"].endswith("\n```output\nNameError: name 'values' is not defined\n```\nend")


def test_a_program_goes_on_from_the_ones_before_it():
    first = "```python\nimport math\nx = math.floor(2.5)\nprint('x is', x)\n```"
    texts, _ = play(a=[first, "```python\nprint(x + 1)\n```", "end"])
    assert texts["a"].endswith("```output\nx is 2\n```\n```python\nprint(x + 1)\n```\n```output\n3\n```\nend")


def test_slow_programs_are_cut_off():
    texts, _ = play(ToolSettings(timeout=0.3), a=["```python\nwhile True: pass\n```", "end"])
    assert f"```output\n{TIMED_OUT}\n```" in texts["a"]


AS_IN_THE_HARNESS = {
    "guarded main": ("if __name__ == '__main__':\n    print(5)", "Done"),
    "its name": ("print(__name__)", "builtins"),
    "its file": ("print(__file__)", "NameError: name '__file__' is not defined"),
    "exit": ("print(5)\nexit()", "SystemExit: None"),
    "exit with a number": ("print(5)\nexit(0)", "SystemExit: 0"),
    "sys.exit": ("import sys\nprint(5)\nsys.exit()", "SystemExit"),
    "exit with a text": ("import sys\nsys.exit('bye')", "SystemExit: bye"),
    "input": ("x = input()", "RuntimeError"),
    "input with a prompt": ("print(5)\nx = int(input('x? '))", "RuntimeError"),
    "input in a comment": ("print(5)  # not input()", "RuntimeError"),
    "a name that ends so": ("def user_input(): pass\nprint(5)", "RuntimeError"),
    "the word alone": ("input = 5\nprint(input)", "5"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "a class": ("class A: pass\nprint(A)\nprint(str(A())[:9])", "<class 'A'>\n<A object"),
    "own error": ("class Odd(Exception): pass\nraise Odd('no')", "Odd: no"),
    "own hook": ("import sys\nsys.excepthook = lambda *a: print('hook')\n1 / 0", "ZeroDivisionError: division by zero"),
    "text of several lines": ("raise ValueError('one\\ntwo')", "two"),
    "syntax": ("x = (1,\nprint(x", "SyntaxError: '(' was never closed"),
    "beside print": ("import os\nos.write(1, b'low')\nos.system('echo shell')\nprint(5)", "5"),
    "to stderr": ("import sys\nprint('warned', file=sys.stderr)\nprint(5)", "5"),
    "exit handler": ("import atexit\natexit.register(print, 'last')\nprint(5)", "5"),
    "late thread": ("import threading, time\nthreading.Thread(target=lambda: time.sleep(9)).start()\nprint(5)", "5"),
    "closed output": ("import sys\nprint(5)\nsys.stdout.close()", "ValueError: I/O operation on closed file"),
    "much output": ("print('a' * 3_000_000)\nprint('b' * 3_000_000)", "a" * 200 + "..." + "b" * 200),
    "wide characters": ("print('\\u221a' * 600_000 + 'z')", "\u221a" * 200 + "..." + "\u221a" * 199 + "z"),
    "half a character": ("print('a\\ud800b')", "a\\ud800b"),
    "blank": ("print('  ')", "Done"),
}  # fmt: skip


def test_programs_show_what_the_papers_harness_showed():
    programs = [program for program, _ in AS_IN_THE_HARNESS.values()]
    ticks: list[int] = []
    results = run_tool_programs(programs, 5.0, tick=ticks.append)
    shown = {name: shown_output(result, 400) for name, result in zip(AS_IN_THE_HARNESS, results, strict=True)}
    assert shown == {name: text for name, (_, text) in AS_IN_THE_HARNESS.items()}
    assert sum(ticks) == len(programs)


@pytest.mark.parametrize(("length", "cut"), [(399, False), (400, False), (401, True), (5000, True)])
def test_long_output_keeps_its_ends(length: int, cut: bool):
    text = "".join(chr(97 + place % 26) for place in range(length))
    shown = cut_output(text, 400)
    assert shown == (f"{text[:200]}...{text[-200:]}" if cut else text)


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (ProgramResult("ok", " 7\n\n", "", 0.1), "7"),
        (ProgramResult("ok", "", "", 0.1), "Done"),
        (ProgramResult("error", "7\n", "ValueError: no", 0.1), "ValueError: no"),
        (ProgramResult("timeout", "7\n", "TimeoutError", 0.1), TIMED_OUT),
        (ProgramResult("error", "", "E" * 500, 0.1), "E" * 200 + "..." + "E" * 200),
    ],
)
def test_an_error_hides_what_was_printed_before_it(result: ProgramResult, shown: str):
    assert output_block(result, 400) == f"\n```output\n{shown}\n```\n"


def test_progress_counts_every_problem_once():
    ticks: list[int] = []
    model = Script({"a": ["x"], "b": [PROGRAM] * 4})
    run_tool_loop([Request("a|", (), 8), Request("b|", (), 8)], model, ToolSettings(), ticks.append)
    assert sum(ticks) == 2


def test_a_model_that_says_what_the_samples_train_plays_the_samples_dialogue():
    """Only the assistant's segments carry a loss, so they must hold every word that the model has to say."""
    samples = sft_samples("sft_tir", 40, seed=5)
    spoken = {
        sample.segments[0][1]: [text for role, text in sample.segments if role == "assistant"] for sample in samples
    }
    stops = ("</s>", "```output")

    def complete(requests: Sequence[Request], tick: Tick) -> list[Generation]:
        return [_cut(_next_words(request.prompt)) for request in requests]

    def _next_words(prompt: str) -> str:
        question = next(question for question in spoken if prompt.startswith(question))
        return spoken[question][prompt.count("```output")]

    def _cut(text: str) -> Generation:
        place = min((text.find(stop) for stop in stops if stop in text), default=-1)
        assert "boxed" in text or place > 0
        return Generation(text[:place] if place > 0 else text, "stop", 3, 5)

    requests = [Request(question, stops, 64) for question in spoken]
    transcripts = run_tool_loop(requests, complete, ToolSettings(), lambda _: None)
    played = {request.prompt + transcript.text for request, transcript in zip(requests, transcripts, strict=True)}
    assert played == {sample.text for sample in samples}
