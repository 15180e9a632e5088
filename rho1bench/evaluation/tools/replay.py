"""Re-running the programs of recorded transcripts, to see that the tool loop shows what was shown then.

``rho1bench replay`` reads the authors' released outputs (``code``: transcripts) or our own samples (``completion``),
takes every program whose output was recorded, runs it under the tool loop's rules and compares (paper section 3).
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.evaluation.tools.tool_loop import NOTHING_TO_SHOW, ToolSettings, run_tool_programs, shown_output
from rho1bench.evaluation.tools.transcript import FENCE, program_to_run
from rho1bench.sandbox import ProgramResult, run_program
from rho1bench.system.files import write_jsonl
from rho1bench.system.progress import Progress, SilentProgress

RECORDED = re.compile(rf"\n{FENCE}output\n(.*?)\n{FENCE}(?:\n|$)", re.DOTALL)
ERROR_LINE = re.compile(r"(?:[A-Za-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Exit|Interrupt|Warning)|Timeout Error)(?::|$)")
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
ROUNDING = 1e-4
SECOND_CHANCE = 2
"""Machines differ in speed, and one core may have had several programs to run."""
NEAR_LIMIT = 0.5
"""Share of the time limit from which on another machine may well end on the other side of it."""


@dataclass(frozen=True)
class Recorded:
    """A program of a transcript and the output that the transcript shows after it; ``line`` counts from 1."""

    line: int
    program: str
    output: str


@dataclass(frozen=True)
class Mismatch:
    """A program that did not show the recorded text again; ``matched`` where it still ended the same way."""

    line: int
    program: str
    recorded: str
    replayed: str
    matched: bool
    reason: str
    outcome: str
    seconds: float


@dataclass(frozen=True)
class Replay:
    """The counts of one replay (``matched`` includes ``same_text``) and every program whose text differs."""

    programs: int
    matched: int
    same_text: int
    mismatched: int
    seconds: float
    differing: tuple[Mismatch, ...]

    def summary(self) -> dict[str, int | float]:
        """Return the counts and the wall seconds alone."""
        return {key: value for key, value in asdict(self).items() if key != "differing"}

    def reasons(self) -> list[tuple[str, int]]:
        """Return why programs show another text and how many do for that reason, the commonest first."""
        return Counter(
            f"{'same end' if found.matched else 'mismatch'}: {found.reason}" for found in self.differing
        ).most_common()


def replay_file(
    path: Path,
    output: Path | None = None,
    settings: ToolSettings | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Replay:
    """Replay every recorded program of ``path``; write the differing ones to ``output`` (JSON lines) if given.

    Raises ``DataError`` for a file that is not one of transcripts.
    """
    settings, progress = settings or ToolSettings(), progress or SilentProgress()
    recorded = list(read_recorded(path))
    began = time.monotonic()
    results = _run(recorded, settings, workers, progress)
    seconds = time.monotonic() - began
    pairs = zip(recorded, results, strict=True)
    differing = [found for record, result in pairs if (found := compare(record, result, settings))]
    if output is not None:
        write_jsonl(output, map(asdict, differing))
    mismatched = sum(not found.matched for found in differing)
    return Replay(
        programs=len(recorded),
        matched=len(recorded) - mismatched,
        same_text=len(recorded) - len(differing),
        mismatched=mismatched,
        seconds=round(seconds, 3),
        differing=tuple(differing),
    )


def _run(
    recorded: Sequence[Recorded], settings: ToolSettings, workers: int | None, progress: Progress
) -> list[ProgramResult]:
    """Run all programs; one that is out of time, and was not then, runs again alone with ``SECOND_CHANCE`` the time."""
    ended = 0

    def tick(count: int) -> None:
        nonlocal ended
        ended += count
        progress.update(ended)

    progress.start(len(recorded), "programs")
    try:
        sources = [record.program for record in recorded]
        results = run_tool_programs(sources, settings.timeout, workers, tick)
    finally:
        progress.close()
    for place, result in enumerate(results):
        if result.outcome == "timeout" and error_type(recorded[place].output) != "TimeoutError":
            results[place] = run_program(sources[place], SECOND_CHANCE * settings.timeout, captured=True)
    return results


def read_recorded(path: Path) -> Iterator[Recorded]:
    """Yield the programs of a file's transcripts with their recorded outputs.

    Raises ``DataError`` that names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected JSON lines of saved outputs.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            for text in _transcripts(line, f"{path}, line {number}"):
                for program, output in programs_of(text):
                    yield Recorded(number, program, output)


def _transcripts(line: str, where: str) -> list[str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}); expected one saved output a line.") from error
    texts = _texts(row) if isinstance(row, Mapping) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: no transcripts; expected `code` (a list of texts) or `completion` (a text).")
    return texts


def _texts(row: Mapping[str, object]) -> object:
    if "code" in row:
        return row["code"]
    return [row["completion"]] if "completion" in row else None


def programs_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield each program of a transcript that was run, as the tool loop takes it, and the output shown for it."""
    for found in RECORDED.finditer(text):
        yield program_to_run(text[: found.start()]), found.group(1)


def compare(record: Recorded, result: ProgramResult, settings: ToolSettings) -> Mismatch | None:
    """Return how a program's new output differs from the recorded one; None if it is the same text."""
    replayed = shown_output(result, settings.max_output)
    if replayed == record.output:
        return None
    matched, reason = explain(record.output, replayed, result, settings)
    return Mismatch(
        record.line, record.program, record.output, replayed, matched, reason, result.outcome, round(result.seconds, 3)
    )


def explain(recorded: str, replayed: str, result: ProgramResult, settings: ToolSettings) -> tuple[bool, str]:
    """Return whether two different texts tell of the same end, and the likely reason for the difference."""
    was, now = error_type(recorded), error_type(replayed)
    if was == now == "TimeoutError":
        return True, "both ran out of time, worded differently"
    if was is not None and was == now:
        return True, _same_error(recorded, replayed)
    if "TimeoutError" in (was, now):
        return False, _one_timeout(was == "TimeoutError", result.seconds, settings.timeout)
    if was is None and now is None and result.outcome == "error":
        return False, "an error whose last line names no type, worded differently"
    if was is not None and now is not None:
        return False, f"another error: {was} then, {now} now"
    if was is not None:
        return False, f"{was} then, ends well now (newer packages or Python)"
    if now is not None:
        return False, f"ended well then, {now} now (newer packages or Python)"
    return False, _two_outputs(recorded, replayed)


def error_type(text: str) -> str | None:
    """Return the bare name of the error that an output's only line tells of; None if it tells of none."""
    found = ERROR_LINE.match(text)
    return found.group(1).replace(" ", "") if found and "\n" not in text else None


def _same_error(recorded: str, replayed: str) -> str:
    if "cannot import name" in recorded and "cannot import name" in replayed:
        return "the same error, which names the folder of the package"
    if _without_addresses(recorded) == _without_addresses(replayed):
        return "the same error, which names an address in memory"
    return "the same error, worded by another version of Python or of the package"


def _one_timeout(was: bool, seconds: float, limit: float) -> str:
    then, now = ("out of time", f"{seconds:.1f} s") if was else ("in time", "out of time")
    if not was or seconds > NEAR_LIMIT * limit:
        return f"near the time limit: {then} then, {now} now"
    return f"{then} then, {now} now (newer packages or a faster machine)"


def _two_outputs(recorded: str, replayed: str) -> str:
    if NOTHING_TO_SHOW in (recorded, replayed):
        return "one of the two shows nothing"
    if _without_addresses(recorded) == _without_addresses(replayed):
        return "prints an address in memory"
    if sorted(re.findall(r"\w+", recorded)) == sorted(re.findall(r"\w+", replayed)):
        return "the same parts in another order (sets, or how the package orders terms)"
    if NUMBER.sub("0", recorded) == NUMBER.sub("0", replayed):
        return _two_sets_of_numbers(recorded, replayed)
    return "the package prints or computes it differently in this version"


def _two_sets_of_numbers(recorded: str, replayed: str) -> str:
    pairs = zip(NUMBER.findall(recorded), NUMBER.findall(replayed), strict=True)
    if all(math.isclose(float(left), float(right), rel_tol=ROUNDING) for left, right in pairs):
        return "floating-point numbers differ slightly (another version of the package)"
    return "other numbers (random, or a package that computes differently in this version)"


def _without_addresses(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", text)
