"""Fine-tuning samples as token ids and labels: the loss is on what the assistant writes, nothing else (section 3.2).

A user's turn and a tool's output stay in the context with label -100. Each segment is tokenised on its own, as at
inference, where the model continues from the end of a prompt.

A row of a local or hub source is one of:

- ``{"segments": [{"role": "user" | "assistant" | "tool", "text": ...}, ...]}``: texts as they are, joined without
  anything between;
- ``{"prompt": ..., "completion": ...}``: two texts as they are;
- ``{"messages": [{"role": "system" | "user" | "assistant" | "tool", "content": ...}, ...]}``, or ``conversations`` with
  ``from`` and ``value``: written in the paper's template, ``<|user|>``, ``<|assistant|>`` and a line break;
- one of ``query`` and ``response``, ``question`` and ``solution``, ``instruction`` and ``output`` (with ``input``):
  one turn each, in the same template.

In a ToRA sample the assistant's text holds what its programs printed, in blocks that begin with a fence and ``output``.
Such a block is the tool's: everything from the end of its opening fence to its closing one is masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rho1bench.corpus.sources.hub_rows import HubRows
from rho1bench.corpus.sources.local_rows import Row, file_rows, text_of
from rho1bench.corpus.tokenizer import SpecialTokens
from rho1bench.errors import DataError
from rho1bench.recipe import HubSource, LocalSource, MiniWorldSource, Source
from rho1bench.recipe.models.corpus import named_files

if TYPE_CHECKING:
    from tokenizers import Tokenizer

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


def tokenise(segments: Sequence[Segment], tokenizer: Tokenizer, special: SpecialTokens) -> TokenisedSample:
    """Join the segments as ``<s> ... </s>``; a sample that ends with the assistant's turn learns to stop there."""
    input_ids, labels = list(special.begin), [IGNORED] * len(special.begin)
    for role, text in segments:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        input_ids += ids
        labels += ids if role == "assistant" else [IGNORED] * len(ids)
    ends_with_answer = bool(segments) and segments[-1][0] == "assistant"
    return TokenisedSample([*input_ids, special.eos], [*labels, special.eos if ends_with_answer else IGNORED])


def fitting_samples(
    sources: Sequence[Source], seed: int, tokenizer: Tokenizer, special: SpecialTokens, max_length: int
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
    from rho1bench import mini_world

    if source.text != "sft_cot" and source.text != "sft_tir":
        raise DataError(f"a fine-tuning stage reads the mini world's sft_cot or sft_tir, not {source.text!r}.")
    for sample in mini_world.sft_samples(source.text, source.num_documents, seed, offset=source.offset):
        yield tuple(sample.segments)


ROLES = ("user", "assistant", "tool")
Segment = tuple[str, str]
_PAIRS = (("query", "response"), ("question", "solution"), ("instruction", "output"))
_COLUMNS = ("segments", "prompt", "completion", "messages", "conversations", "input", *(sum(_PAIRS, ())))
_SPEAKERS = {"human": "user", "gpt": "assistant", "bing": "assistant", "ipython": "tool", "function": "tool"}
_OUTPUT = re.compile(r"(?<=```output)(\n.*?\n```\n?)", re.DOTALL)
"""What stands between a model's opening fence of an output and the text with which it continues."""


def source_rows(source: LocalSource | HubSource) -> Iterator[tuple[Segment, ...]]:
    """Yield the samples of a source; raises DataError, naming file and line, for a row that is none."""
    last = None if source.num_documents is None else source.offset + source.num_documents
    for number, row in enumerate(_rows(source)):
        if number == last:
            return
        if isinstance(row, DataError):
            raise row
        if number >= source.offset:
            yield row_segments(row[1], row[0])


def _rows(source: LocalSource | HubSource) -> Iterator[Row | DataError]:
    if isinstance(source, HubSource):
        yield from HubRows(source, None)
        return
    for path in named_files(source.path):
        if not path.is_file():
            raise DataError(f"{path}: no such file. Check the source's `path` in the recipe.")
        yield from file_rows(path, None, 0, _COLUMNS)


def row_segments(row: dict[str, object], where: str) -> tuple[Segment, ...]:
    """Return the (role, text) segments of one row; raises DataError."""
    if "segments" in row:
        return _segments(row["segments"], where)
    for key in ("messages", "conversations"):
        if key in row:
            return _turns(_messages(row[key], key, where), where)
    pair = next((pair for pair in _PAIRS if all(key in row for key in pair)), None)
    if pair is not None and "prompt" not in row:
        question = text_of(row, pair[0], where)
        if pair[0] == "instruction" and row.get("input"):
            question += "\n" + text_of(row, "input", where)
        return _turns([("user", question), ("assistant", text_of(row, pair[1], where))], where)
    return ("user", text_of(row, "prompt", where)), ("assistant", text_of(row, "completion", where))


def _segments(value: object, where: str) -> tuple[Segment, ...]:
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: `segments` must be a non-empty list of objects with role and text.")
    segments = []
    for segment in value:
        if not isinstance(segment, dict) or segment.get("role") not in ROLES:
            raise DataError(f"{where}: every segment needs a role out of {', '.join(ROLES)} and a text.")
        segments.append((str(segment["role"]), text_of(segment, "text", where)))
    return _with_answer(segments, where)


def _messages(value: object, key: str, where: str) -> list[Segment]:
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: `{key}` must be a non-empty list of objects with role and content.")
    messages = []
    for message in value:
        speaker = message.get("role", message.get("from")) if isinstance(message, dict) else None
        role = _SPEAKERS.get(str(speaker), str(speaker))
        if role not in (*ROLES, "system"):
            raise DataError(f"{where}: a message's role is {speaker!r}; expected system, {', '.join(ROLES)}.")
        messages.append((role, text_of(message, "content" if "content" in message else "value", where)))
    return messages


def _turns(messages: list[Segment], where: str) -> tuple[Segment, ...]:
    """Write messages in the paper's template; a tool's message is an output block."""
    segments: list[Segment] = []
    for role, text in messages:
        if role == "assistant":
            open_turn = segments and segments[-1][0] == "tool"
            segments += [] if open_turn else [("user", "<|assistant|>\n")]
            segments += _without_outputs(text)
        elif role == "tool":
            if segments and segments[-1][0] == "assistant":
                segments[-1] = ("assistant", segments[-1][1].rstrip("\n") + "\n```output")
            segments.append(("tool", f"\n{text.strip()}\n```\n"))
        else:
            between = "\n" if segments else ""
            segments.append(("user", f"{between}<|{role}|>\n{text}\n"))
    return _with_answer(_joined(segments), where)


def _without_outputs(text: str) -> list[Segment]:
    pieces = _OUTPUT.split(text)
    return [("tool" if place % 2 else "assistant", piece) for place, piece in enumerate(pieces) if piece]


def _joined(segments: list[Segment]) -> list[Segment]:
    """Join neighbours of one role, so that a prompt is tokenised as it is at inference."""
    joined: list[Segment] = []
    for role, text in segments:
        if joined and joined[-1][0] == role:
            joined[-1] = (role, joined[-1][1] + text)
        else:
            joined.append((role, text))
    return joined


def _with_answer(segments: list[Segment], where: str) -> tuple[Segment, ...]:
    if all(role != "assistant" for role, _ in segments):
        raise DataError(f"{where}: no segment is the assistant's, so there is nothing to learn.")
    return tuple(segments)
