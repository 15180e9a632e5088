"""What is wrong with a data file whose hash is not the pinned one: the first line at fault, named for the user.

``line_hashes.json`` holds the first four hex digits of the SHA-256 of every line of every pinned file, which tells a
changed line from a missing or an added one without holding any row. Whoever pins another file writes its entry with
:func:`line_hashes`; a test compares all entries with the files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from rho1bench.system.files import read_json, sha256_bytes

LINE_HASHES = Path(__file__).with_name("line_hashes.json")
DIGITS = 4


def line_hashes(data: bytes) -> list[str]:
    """Return the short hash of each line; the bytes after a last newline are no line."""
    return [sha256_bytes(line)[:DIGITS] for line in _lines(data)]


def _lines(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n")


@cache
def _pinned_hashes() -> dict[str, list[str]]:
    stored: dict[str, str] = read_json(LINE_HASHES)
    return {
        place: [digits[start : start + DIGITS] for start in range(0, len(digits), DIGITS)]
        for place, digits in stored.items()
    }


def find_fault(data: bytes, place: str, keys: Sequence[str] = ()) -> str:
    """Return what to write after the path of a file that should be the pinned one at ``place``, but is not.

    With ``keys`` the file should consist of JSON objects, one a line, which hold at least these keys.
    """
    if not data.strip():
        return ": the file is empty."
    if b"\r\n" in data:
        number = data[: data.index(b"\r\n")].count(b"\n") + 1
        return f", line {number}: ends in CR LF, as Windows writes it; the original has LF alone."
    malformed = _malformed_line(_lines(data), keys) if keys else None
    return malformed or _changed_line(line_hashes(data), _pinned_hashes().get(place, []))


def _malformed_line(lines: Sequence[bytes], keys: Sequence[str]) -> str | None:
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            return f", line {number}: not UTF-8 (byte {error.start + 1} of the line)."
        except json.JSONDecodeError as error:
            return f", line {number}: " + (f"not JSON ({error.msg}, column {error.colno})." if line else "is blank.")
        if not isinstance(row, dict):
            return f", line {number}: a JSON object is expected, not {line[:40].decode('utf-8', 'replace')!r}."
        if missing := [key for key in keys if key not in row]:
            return f", line {number}: lacks the key {', '.join(map(repr, missing))}."
    return None


def _changed_line(found: Sequence[str], pinned: Sequence[str]) -> str:
    first = next((n for n, (here, there) in enumerate(zip(found, pinned, strict=False)) if here != there), None)
    if len(found) == len(pinned):
        no_line = ": all its lines look right, but its bytes differ (is the newline at its end missing?)."
        return no_line if first is None else f", line {first + 1}: is not the original line."
    first = min(len(found), len(pinned)) if first is None else first
    counts = f"{len(found)} lines instead of {len(pinned)}"
    if found[first:] == pinned[first + 1 :]:
        return f", line {first + 1}: the line that belongs here is missing ({counts})."
    if found[first + 1 :] == pinned[first:]:
        return f", line {first + 1}: is one line too many ({counts})."
    if first == len(found):
        return f": ends after line {first} ({counts})."
    return f", line {first + 1}: is not the original line ({counts})."
