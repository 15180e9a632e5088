"""Fine-tuning samples as token ids and labels: the loss is on what the assistant writes, nothing else (section 3.2).

A user's turn and a tool's output stay in the context with label -100. Each segment is tokenised on its own, as at
inference, where the model continues from the end of a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rho1bench.corpus.tokenizer import SpecialTokens
from rho1bench.errors import DataError
from rho1bench.recipe import MiniWorldSource, Source
from rho1bench.training.sft_rows import Segment, source_rows

IGNORED = -100


@dataclass(frozen=True)
class TokenisedSample:
    """``labels`` are the ids where the assistant writes (the end-of-text token included) and -100 elsewhere."""

    input_ids: list[int]
    labels: list[int]


def read_samples(sources: Sequence[Source], seed: int) -> Iterator[tuple[Segment, ...]]:
    """Yield each sample's (role, text) segments; raises DataError, naming file and line, for a bad local line."""
    for source in sources:
        if isinstance(source, MiniWorldSource):
            yield from _mini_world_samples(source, seed)
        else:
            yield from source_rows(source)


def tokenise(segments: Sequence[Segment], tokenizer: Any, special: SpecialTokens) -> TokenisedSample:
    """Join the segments as ``<s> ... </s>``; a sample that ends with the assistant's turn learns to stop there."""
    input_ids, labels = list(special.begin), [IGNORED] * len(special.begin)
    for role, text in segments:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        input_ids += ids
        labels += ids if role == "assistant" else [IGNORED] * len(ids)
    ends_with_answer = bool(segments) and segments[-1][0] == "assistant"
    return TokenisedSample([*input_ids, special.eos], [*labels, special.eos if ends_with_answer else IGNORED])


def fitting_samples(
    sources: Sequence[Source], seed: int, tokenizer: Any, special: SpecialTokens, max_length: int
) -> tuple[list[TokenisedSample], int]:
    """Return the samples of at most ``max_length`` tokens and how many longer ones were left out.

    A cut sample would teach to stop in the middle. Raises DataError if none fits.
    """
    samples = [tokenise(segments, tokenizer, special) for segments in read_samples(sources, seed)]
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
