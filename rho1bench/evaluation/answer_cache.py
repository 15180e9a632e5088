"""What a model has answered so far, as JSON lines: a killed evaluation resumes without repeating requests.

One line for each answer, appended when the answer is complete, with a checksum. The key of an answer is a hash of
everything that it depends on: weights, engine, context length, prompt, stop strings, limit on new tokens, and sampling.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rho1bench.errors import RunError
from rho1bench.system.files import append_jsonl, read_jsonl, sha256_json

FILE = "answers.jsonl"
FORMER_FILE = "journal.jsonl"
"""The file's name in folders of earlier versions; it is renamed."""

_CHECK = "sha256"

CachedAnswer = dict[str, Any]
"""The fields of a ``Generation`` or a ``LogLikelihood``, its ``key`` and, for readers, its ``source``."""


class AnswerCache:
    """The answers of one checkpoint in ``folder``; ``identity`` names weights, engine and context length."""

    def __init__(self, folder: Path, identity: Mapping[str, object]) -> None:
        self.path = folder / FILE
        if (folder / FORMER_FILE).exists() and not self.path.exists():
            os.replace(folder / FORMER_FILE, self.path)
        self._identity = sha256_json(identity)
        self._entries = {entry["key"]: entry for entry in self._read()}

    def _read(self) -> list[CachedAnswer]:
        if not self.path.exists():
            return []
        try:
            entries: list[CachedAnswer] = read_jsonl(self.path)
        except ValueError as error:
            raise RunError(
                f"{self.path}: a line is not JSON ({error}). Remove the file; its answers are then computed again."
            ) from error
        for number, entry in enumerate(entries, start=1):
            if entry.pop(_CHECK, None) not in (None, _checksum(entry)):  # none in lines of earlier versions
                raise RunError(
                    f"{self.path}: the answer in line {number} was changed after it was written (its checksum is of "
                    "another one). Remove the file; its answers are then computed again."
                )
        return entries

    def key(self, *question: object) -> str:
        """Return the key of a question to this model."""
        return sha256_json([self._identity, *question])

    def find(self, key: str) -> CachedAnswer | None:
        """Return the cached answer to a question."""
        return self._entries.get(key)

    def add(self, key: str, entry: CachedAnswer) -> None:
        """Store an answer; it is on disk when this returns."""
        self._entries[key] = {"key": key, **entry}
        append_jsonl(self.path, {**self._entries[key], _CHECK: _checksum(self._entries[key])})


def _checksum(entry: CachedAnswer) -> str:
    return sha256_json(entry)[:16]
