"""Fine-tuning samples of the mini world: tool-integrated dialogues and plain chain-of-thought (paper section 3.2).

A sample is a list of segments with a role, so that training can drop the loss of what the model does not write: the
user's turn and the tool's output.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Literal

from rho1bench.mini_world.problem import Problem, question_prompt
from rho1bench.mini_world.problems import MATH_TASKS, TOOL_TASKS, draw_problem

Role = Literal["user", "assistant", "tool"]
Style = Literal["sft_cot", "sft_tir"]


@dataclass(frozen=True)
class SftSample:
    """One dialogue as (role, text) segments; its text is the segments joined with nothing between."""

    task: str
    style: Style
    segments: tuple[tuple[Role, str], ...]

    @property
    def text(self) -> str:
        """The whole dialogue."""
        return "".join(text for _, text in self.segments)


def tir_prompt(problem: Problem) -> str:
    """The prompt of the tool-integrated protocol: no exemplars."""
    return f"<|user|>\n{problem.question}\n<|assistant|>\n"


def program_output(problem: Problem) -> str:
    """What the problem's program prints, without the line end."""
    return re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2", problem.answer)


def tir_sample(problem: Problem) -> SftSample:
    """Question, program, output of the program, boxed answer; the model itself writes the text that calls the tool."""
    segments: tuple[tuple[Role, str], ...] = (
        ("user", tir_prompt(problem)),
        ("assistant", f"```python\n{problem.program}\n```\n```output"),
        ("tool", f"\n{program_output(problem)}\n```\n"),
        ("assistant", f"The answer is $\\boxed{{{problem.answer}}}$."),
    )
    return SftSample(problem.task, "sft_tir", segments)


def cot_sample(problem: Problem) -> SftSample:
    """The question with the protocol's labels, then the worked solution."""
    segments: tuple[tuple[Role, str], ...] = (
        ("user", question_prompt(problem)),
        ("assistant", f" {problem.solution}"),
    )
    return SftSample(problem.task, "sft_cot", segments)


def sft_samples(style: Style, num: int, seed: int, offset: int = 0) -> list[SftSample]:
    """`num` samples from train-side problems: `sft_cot` from the nine math tasks, `sft_tir` from the seven tool tasks.

    `offset` skips the first samples of the stream. Raises ValueError for an unknown style.
    """
    if style not in ("sft_cot", "sft_tir"):
        raise ValueError(f"style must be 'sft_cot' or 'sft_tir', got {style!r}")
    return [_sample(style, index, seed) for index in range(offset, offset + num)]


def _sample(style: Style, index: int, seed: int) -> SftSample:
    rng = Random(f"{style}/{seed}/{index}")
    if style == "sft_cot":
        return cot_sample(draw_problem(rng.choice(MATH_TASKS), "train", rng))
    return tir_sample(draw_problem(rng.choice(TOOL_TASKS), "train", rng))
