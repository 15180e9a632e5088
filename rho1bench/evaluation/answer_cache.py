"""What a model has answered so far, kept as JSON lines, so that a killed evaluation asks for nothing twice.

One line for each answer, appended when the answer is there. An answer is found again by a key of everything that it
depends on: weights, engine, context length, prompt, stop strings, limit on new tokens, and how it was sampled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rho1bench.errors import RunError
from rho1bench.system.files import append_jsonl, read_jsonl, sha256_json

Json = dict[str, Any]


class Journal:
    """The journal of one checkpoint in the file ``path``; ``identity`` names weights, engine and context."""

    def __init__(self, path: Path, identity: Json) -> None:
        self._path = path
        self._identity = sha256_json(identity)
        self._entries = {entry["key"]: entry for entry in self._read()}

    def _read(self) -> list[Json]:
        if not self._path.exists():
            return []
        try:
            entries: list[Json] = read_jsonl(self._path)
        except ValueError as error:
            raise RunError(
                f"{self._path}: a line is not JSON ({error}). Remove the file; its answers are asked for again."
            ) from error
        return entries

    def key(self, *question: Any) -> str:
        """Return the key of a question to this model."""
        return sha256_json([self._identity, *question])

    def find(self, key: str) -> Json | None:
        """Return the entry of an answered question."""
        return self._entries.get(key)

    def add(self, key: str, entry: Json) -> None:
        """Write down an answer; it is on disk when this returns."""
        self._entries[key] = {"key": key, **entry}
        append_jsonl(self._path, self._entries[key])
