"""Fine-tuning samples as token ids and labels: the loss is on what the assistant writes, nothing else (section 3.2).

A user's turn and a tool's output stay in the context with label -100. Each segment is tokenised on its own, as at
inference, where the model continues from the end of a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rho1bench.corpus.documents import read_json_lines
from rho1bench.corpus.rows import text_of
from rho1bench.corpus.tokenizer import BOS, EOS
from rho1bench.errors import DataError
from rho1bench.recipe import LocalSource, MiniWorldSource, Source

IGNORED = -100
ROLES = ("user", "assistant", "tool")
Segment = tuple[str, str]


@dataclass(frozen=True)
class TokenisedSample:
    """``labels`` are the ids where the assistant writes (the end-of-text token included) and -100 elsewhere."""

    input_ids: list[int]
    labels: list[int]


def read_samples(sources: Sequence[Source], seed: int) -> Iterator[tuple[Segment, ...]]:
    """Yield each sample's (role, text) segments; raises DataError, naming file and line, for a bad local line."""
    for source in sources:
        if isinstance(source, LocalSource):
            yield from _local_samples(source)
        elif isinstance(source, MiniWorldSource):
            yield from _mini_world_samples(source, seed)
        else:
            raise DataError(f"{source.dataset}: fine-tuning reads local files and the mini world only.")


def tokenise(segments: Sequence[Segment], tokenizer: Any) -> TokenisedSample:
    """Join the segments as ``<s> ... </s>``; a sample that ends with the assistant's turn learns to stop there."""
    input_ids, labels = [tokenizer.token_to_id(BOS)], [IGNORED]
    for role, text in segments:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        input_ids += ids
        labels += ids if role == "assistant" else [IGNORED] * len(ids)
    eos_id = tokenizer.token_to_id(EOS)
    ends_with_answer = bool(segments) and segments[-1][0] == "assistant"
    return TokenisedSample([*input_ids, eos_id], [*labels, eos_id if ends_with_answer else IGNORED])


def fitting_samples(
    sources: Sequence[Source], seed: int, tokenizer: Any, max_length: int
) -> tuple[list[TokenisedSample], int]:
    """Return the samples of at most ``max_length`` tokens and how many longer ones were left out.

    A cut sample would teach to stop in the middle. Raises DataError if none fits.
    """
    samples = [tokenise(segments, tokenizer) for segments in read_samples(sources, seed)]
    fitting = [sample for sample in samples if len(sample.input_ids) <= max_length]
    if not fitting:
        shortest = min((len(sample.input_ids) for sample in samples), default=0)
        raise DataError(
            f"none of the {len(samples)} fine-tuning samples fits into max_length {max_length} (the shortest has "
            f"{shortest} tokens). Raise max_length."
        )
    return fitting, len(samples) - len(fitting)


def _mini_world_samples(source: MiniWorldSource, seed: int) -> Iterator[tuple[Segment, ...]]:
    from rho1bench.corpus import mini_world

    if source.text != "sft_cot" and source.text != "sft_tir":
        raise DataError(f"a fine-tuning stage reads the mini world's sft_cot or sft_tir, not {source.text!r}.")
    for sample in mini_world.sft_samples(source.text, source.num_documents, seed, offset=source.offset):
        yield tuple(sample.segments)


def _local_samples(source: LocalSource) -> Iterator[tuple[Segment, ...]]:
    for where, row in read_json_lines(Path(source.path).expanduser(), source.num_documents):
        if "segments" in row:
            yield _segments(row["segments"], where)
        else:
            yield (
                ("user", text_of(row, "prompt", where)),
                ("assistant", text_of(row, "completion", where)),
            )


def _segments(value: Any, where: str) -> tuple[Segment, ...]:
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: `segments` must be a non-empty list of objects with role and text.")
    segments = []
    for segment in value:
        if not isinstance(segment, dict) or segment.get("role") not in ROLES:
            raise DataError(f"{where}: every segment needs a role out of {', '.join(ROLES)} and a text.")
        segments.append((str(segment["role"]), text_of(segment, "text", where)))
    if all(role != "assistant" for role, _ in segments):
        raise DataError(f"{where}: no segment is the assistant's, so there is nothing to learn.")
    return tuple(segments)
