"""What a model has answered so far, as JSON lines: a killed evaluation resumes without repeating requests.

One line for each answer, with a checksum; those that are complete at the same time are written at once, and are in the
file before the engine is asked for more. The key of an answer is a hash of everything that it depends on: weights,
engine, context length, prompt, stop strings, limit on new tokens, and sampling. Beside it lies ``engine.json``, what
the engines that answered decided for themselves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BufferedWriter
from pathlib import Path
from typing import Any

from rho1bench.errors import RunError
from rho1bench.evaluation.engines import EngineFacts
from rho1bench.system.files import jsonl_line, open_to_append, read_jsonl, read_own_json, sha256_json, write_json

FILE = "answers.jsonl"
FACTS_FILE = "engine.json"
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
        self._file: BufferedWriter | None = None

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

    def add(self, answers: Mapping[str, CachedAnswer]) -> None:
        """Store answers by their keys; all are in the file when this returns, so that a kill loses none."""
        if self._file is None:
            self._file = open_to_append(self.path)
        entries = [{"key": key, **answer} for key, answer in answers.items()]
        self._file.write(b"".join(jsonl_line({**entry, _CHECK: _checksum(entry)}) for entry in entries))
        self._file.flush()
        self._entries.update((entry["key"], entry) for entry in entries)

    def note_engine(self, facts: EngineFacts) -> None:
        """Keep what the engine decided for itself when it loaded the checkpoint."""
        path = self.path.with_name(FACTS_FILE)
        known: dict[str, list[EngineFacts]] = read_own_json(path) if path.exists() else {}
        earlier = known.get(self._identity, [])
        if facts not in earlier:
            write_json(path, known | {self._identity: [*earlier, facts]})

    def close(self) -> None:
        """Close the file; the next answer opens it again."""
        if self._file is not None:
            self._file.close()
        self._file = None


def engine_facts(folder: Path, identity: Mapping[str, object]) -> EngineFacts:
    """Return what the engines that answered decided for themselves; where they differ, one value after the other."""
    path = folder / FACTS_FILE
    found: list[EngineFacts] = read_own_json(path).get(sha256_json(identity), []) if path.exists() else []
    names = dict.fromkeys(name for facts in found for name in facts)
    values = {name: list(dict.fromkeys(facts[name] for facts in found if name in facts)) for name in names}
    return {name: one[0] if len(one) == 1 else ", ".join(map(str, one)) for name, one in values.items()}


def _checksum(entry: CachedAnswer) -> str:
    return sha256_json(entry)[:16]
