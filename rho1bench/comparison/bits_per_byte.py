"""Bits per byte: how well a checkpoint predicts given text, a measure that is calmer than accuracy.

Place in the pipeline: ``evaluation`` measures blocks of packed corpora (clean held-out text; the training text itself,
for forgetting) and the gold answers of tasks, and leaves one row a document; ``comparison`` pairs them. The value of a
text is the sum of its tokens' losses in bits over the bytes of these tokens; lower is better. Unlike a loss a token it
compares over tokenizers, and unlike accuracy it moves with every document.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rho1bench.comparison.result_files import JsonObject, ResultModel
from rho1bench.comparison.statistics import Values
from rho1bench.errors import DataError
from rho1bench.recipe.texts import TextKind
from rho1bench.system.files import read_jsonl

NATS_PER_BIT = math.log(2.0)
_TOLERANCE = 1e-6
_DECIMALS = 4


class TextBits(ResultModel):
    """What one text came to."""

    bits_per_byte: float
    n: int
    """Blocks, or documents."""
    num_bytes: int
    num_tokens: int | None
    """Predicted tokens of a corpus."""
    truncated: int
    """Documents that did not fit the context, of which less was read or measured."""
    data_sha256: str
    """Of what was measured: two checkpoints are paired on the same alone."""
    samples_sha256: str


@dataclass(frozen=True)
class DocumentBits:
    """Bits and bytes by document."""

    bits: Mapping[str, float]
    num_bytes: Mapping[str, int]

    def values(self, doc_ids: Sequence[str] | None = None) -> Values:
        """Return each document's bits over the mean bytes of a document, shape (n,): their mean is bits per byte.

        So the means, intervals and tests of scores serve here too. ``doc_ids``: default all, in sorted order. Rounded
        to the decimals that records keep.
        """
        chosen = sorted(self.bits) if doc_ids is None else doc_ids
        mean_bytes = sum(self.num_bytes[doc_id] for doc_id in chosen) / len(chosen)
        return np.array([round(self.bits[doc_id] / mean_bytes, _DECIMALS) for doc_id in chosen])


def file_name(kind: TextKind, name: str) -> str:
    """Return the name of the file with the rows of a text, in the folder of a checkpoint."""
    return f"bits_{kind}_{name}.jsonl"


def text_bits(rows: Sequence[JsonObject], data_sha256: str, samples_sha256: str) -> TextBits:
    """Return what the rows of a text come to; a text without a byte has no value and is a ``ValueError``."""
    num_bytes = sum(row["num_bytes"] for row in rows)
    if not num_bytes:
        raise ValueError("a text without a byte")
    return TextBits(
        bits_per_byte=math.fsum(row["bits"] for row in rows) / num_bytes,
        n=len(rows),
        num_bytes=num_bytes,
        num_tokens=sum(row["num_tokens"] for row in rows) if all("num_tokens" in row for row in rows) else None,
        truncated=sum(row["truncated"] for row in rows),
        data_sha256=data_sha256,
        samples_sha256=samples_sha256,
    )


def read_bits(path: Path, entry: TextBits) -> DocumentBits:
    """Read the rows of a text; raises ``DataError`` where they are missing, broken or not those of ``entry``."""
    advice = "Run the evaluation of this label again."
    try:
        rows = read_jsonl(path)
        bits = {str(row["doc_id"]): float(row["bits"]) for row in rows}
        num_bytes = {str(row["doc_id"]): int(row["num_bytes"]) for row in rows}
    except (OSError, json.JSONDecodeError, LookupError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not the bits of a text's documents ({error!r}). {advice}") from error
    total = sum(num_bytes.values())
    found = math.fsum(bits.values()) / max(total, 1)
    if (len(bits), total) != (entry.n, entry.num_bytes) or abs(found - entry.bits_per_byte) > _TOLERANCE:
        raise DataError(
            f"{path}: its {len(bits)} documents give {found:.6f} bits per byte, results.json says "
            f"{entry.bits_per_byte:.6f} for {entry.n}. {advice}"
        )
    return DocumentBits(bits, num_bytes)
