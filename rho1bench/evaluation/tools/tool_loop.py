"""The paper's tool loop (appendix E and the authors' harness): the model writes a program, reads its output, goes on.

Played in rounds over all unfinished problems: each round is one call of the engine and one batch of programs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rho1bench.evaluation.engines import FinishReason, Generation, Request, Tick
from rho1bench.evaluation.tools.transcript import FENCE, program_to_run
from rho1bench.sandbox import ProgramResult, run_programs

TIMED_OUT = "timeout_decorator.timeout_decorator.TimeoutError: 'Timed Out'"
NOTHING_TO_SHOW = "Done"
"""What the authors' harness showed for a program out of time, and for one that printed nothing."""
CALLS_USED_UP = "\nReach max function call limit."
"""What it wrote under the output after the last call."""
READS_INPUT = "input("
"""A program with this in its text was refused by the harness, which raised a ``RuntimeError`` without a text."""
SUGGESTION = re.compile(r"\. Did you mean: '[^']*'\?$")
"""What newer interpreters add to an error; the harness showed errors without it."""
Complete = Callable[[Sequence[Request], Tick], list[Generation]]


@dataclass(frozen=True)
class ToolSettings:
    """The protocol's limits: calls of the model, seconds of a program, characters of its output."""

    max_calls: int = 4
    timeout: float = 5.0
    max_output: int = 400


@dataclass
class Transcript:
    """What stands after the prompt so far, and how its last call ended."""

    text: str = ""
    finish_reason: FinishReason = "stop"
    num_prompt_tokens: int = 0
    num_tokens: int = 0
    calls: int = 0


def run_tool_loop(
    requests: Sequence[Request], complete: Complete, settings: ToolSettings, tick: Tick
) -> list[Transcript]:
    """Play the loop for all prompts; ``tick`` hears how many problems are finished."""
    transcripts = [Transcript() for _ in requests]
    open_places = list(range(len(requests)))
    for call in range(settings.max_calls):
        if not open_places:
            break
        unfinished = [requests[place] for place in open_places]
        prompts = [
            replace(request, prompt=request.prompt + transcripts[place].text)
            for place, request in zip(open_places, unfinished, strict=True)
        ]
        waiting = []
        for place, generation in zip(open_places, complete(prompts, lambda _: None), strict=True):
            if _add(transcripts[place], generation):
                waiting.append(place)
        programs = [program_to_run(transcripts[place].text) for place in waiting]
        for place, result in zip(waiting, run_tool_programs(programs, settings.timeout), strict=True):
            transcripts[place].text += output_block(result, settings.max_output)
        still_open = waiting if call + 1 < settings.max_calls else []
        for place in waiting[len(still_open) :]:
            transcripts[place].text += CALLS_USED_UP
        tick(len(open_places) - len(still_open))
        open_places = still_open
    return transcripts


def run_tool_programs(
    programs: Sequence[str],
    timeout: float,
    workers: int | None = None,
    tick: Callable[[int], None] = lambda _: None,
) -> list[ProgramResult]:
    """Run programs as the authors' harness did; one that names ``input(`` fails as there, without being run."""
    allowed = [program for program in programs if READS_INPUT not in program]
    results = iter(run_programs(allowed, timeout, workers=workers, tick=tick, captured=True))
    tick(len(programs) - len(allowed))
    return [
        ProgramResult("error", "", "RuntimeError", 0.0) if READS_INPUT in program else next(results)
        for program in programs
    ]


def _add(transcript: Transcript, generation: Generation) -> bool:
    """Append one call's text; True if it asks for a program to be run."""
    newest = generation.text.rstrip()
    transcript.text += newest
    transcript.finish_reason = generation.finish_reason
    transcript.num_prompt_tokens = transcript.num_prompt_tokens or generation.num_prompt_tokens
    transcript.num_tokens += generation.num_tokens
    transcript.calls += 1
    return "boxed" not in newest and newest.endswith(FENCE)


def output_block(result: ProgramResult, max_output: int) -> str:
    """Return the fenced block that shows the model what became of its program."""
    return f"\n{FENCE}output\n{shown_output(result, max_output)}\n{FENCE}\n"


def shown_output(result: ProgramResult, max_output: int) -> str:
    """Return what a program printed if it ended well, else only its error's last line, in the paper's words."""
    if result.outcome == "timeout":
        return TIMED_OUT
    text = result.stdout if result.outcome == "ok" else SUGGESTION.sub("", result.error)
    return cut_output(text.strip(), max_output) or NOTHING_TO_SHOW


def cut_output(text: str, max_output: int) -> str:
    """Keep the first and last halves of a text longer than ``max_output`` characters, with dots between."""
    half = max_output // 2
    return text if len(text) <= max_output else f"{text[:half]}...{text[-half:]}"
