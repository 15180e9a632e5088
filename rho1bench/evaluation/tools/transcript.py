"""The text of a tool-integrated solution, taken apart: words, programs, outputs; and the program to run next.

The rules are those of the paper's harness at its pinned commit (appendix E): a program is run together with what the
earlier ones defined, so that the model may go on from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

FENCE = "```"
FAILURE_SIGNS = ("error", "exception", "no algorithms", "cannot", "nan", "...")
"""An output that holds one of these, in any case, counts as the output of a program that failed."""
UNREADABLE = "raise ValueError('Invalid trajectory')"
"""Stands for the program of a text that mixes its fences up; the model is shown this error, as it was in the paper."""


@dataclass(frozen=True)
class Part:
    """One piece of a transcript; programs and outputs without their fences, with their last line break."""

    kind: Literal["words", "program", "output"]
    text: str


def split_transcript(text: str) -> list[Part]:
    """Split a transcript into its parts; after a program, all up to the next closing fence is its output.

    Raises ``ValueError`` for an empty program, or one that opens where an output is to stand.
    """
    parts: list[Part] = []
    kind: Literal["words", "program", "output"] = "words"
    held = ""
    for line in _lines(text):
        bare = line.removesuffix("\n")
        if bare == f"{FENCE}python":
            if kind != "words":
                raise ValueError("a program opens before the last one has its output")
            parts += [Part(kind, held)] if held else []
            kind, held = "program", ""
        elif kind == "program" and bare == FENCE:
            if not held:
                raise ValueError("an empty program")
            parts.append(Part(kind, held))
            kind, held = "output", ""
        elif kind == "output" and bare.startswith(f"{FENCE}output"):
            if held:
                raise ValueError("an output opens late")
        elif kind == "output" and bare == FENCE:
            parts.append(Part(kind, held))
            kind, held = "words", ""
        else:
            held += line
    return [*parts, Part(kind, held)] if held else parts


def _lines(text: str) -> Iterator[str]:
    """Yield lines that end in a line feed alone, unlike ``str.splitlines``."""
    *lines, last = text.split("\n")
    yield from (f"{line}\n" for line in lines)
    if last:
        yield last


def program_to_run(text: str) -> str:
    """Return the program that a transcript ends with, joined to what the earlier ones left.

    Before it stand the earlier programs that worked, without their lines that print, and above everything the import
    lines of those that failed.
    """
    try:
        parts = split_transcript(text)
    except ValueError:
        return UNREADABLE
    kept: list[str] = []
    imports: list[str] = []
    for place, part in enumerate(parts):
        if part.kind != "program":
            continue
        output = parts[place + 1].text if place + 1 < len(parts) else None
        if output is None or not _failed(output):
            kept.append(part.text)
        else:
            imports += [line for line in part.text.split("\n") if line.startswith(("import", "from"))]
    *earlier, newest = kept or [""]
    silent = [line for program in earlier for line in [*_silent(program), ""]]
    return "\n".join([*imports, *silent, newest])


def _failed(output: str) -> bool:
    return any(sign in output.lower() for sign in FAILURE_SIGNS)


def _silent(program: str) -> list[str]:
    return [line for line in program.removesuffix("\n").split("\n") if not line.strip().startswith("print(")]
