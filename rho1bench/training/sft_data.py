"""Fine-tuning samples as token ids and labels: the loss is on what the assistant writes, nothing else (section 3.2).

A user's turn and a tool's output stay in the context with label -100. Each segment is tokenised on its own, as at
inference, where the model continues from the end of a prompt. Every turn of the assistant ends with the end-of-text
token, which it learns.

A row of a local or hub source is one of:

- ``{"segments": [{"role": "user" | "assistant" | "tool", "text": ...}, ...]}``: texts as they are, joined without
  anything between;
- ``{"prompt": ..., "completion": ...}``: two texts as they are;
- ``{"messages": [{"role": "system" | "user" | "assistant" | "tool", "content": ...}, ...]}``, or ``conversations`` with
  ``from`` and ``value``: written in the paper's template, ``<|user|>``, ``<|assistant|>`` and a line break;
- one of ``query`` and ``response``, ``question`` and ``solution``, ``instruction`` and ``output`` (with ``input``):
  one turn each, in the same template.

A field that is null counts as absent. A ``content`` may be a list of text parts. What the template cannot show (calls
of functions, images, an earlier history) makes a row a bad one, since a sample without it would teach something else.

In a ToRA sample the assistant's text holds what its programs printed, in blocks that begin with a fence and ``output``.
Such a block is the tool's: everything from the end of its opening fence to its closing one is masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rho1bench.corpus.masking import IGNORED
from rho1bench.corpus.sources.documents import BadRows
from rho1bench.corpus.sources.hub_rows import HubRows
from rho1bench.corpus.sources.local_rows import BadRow, LocalRows, plain_text, text_of
from rho1bench.corpus.tokenizer import SpecialTokens
from rho1bench.errors import DataError
from rho1bench.recipe import HubSource, LocalSource, MiniWorldSource, SampleSource

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROLES = ("user", "assistant", "tool")
Segment = tuple[str, str]
"""Role and text."""
_PAIRS = (("query", "response"), ("question", "solution"), ("instruction", "output"))
_SPEAKERS = {"human": "user", "gpt": "assistant", "bing": "assistant", "ipython": "tool", "function": "tool"}
_NOT_SHOWN = ("tools", "functions", "history", "image", "images", "audio", "audios", "video", "videos")
"""Fields of a row with chat turns that the template has no place for."""
_NOT_WRITTEN = ("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking", "refusal", "audio")
"""The same of a message: what an assistant says beside its ``content``."""
_LEARNT = ("weight", "train", "training")
"""Fields by which other trainers leave a turn of the assistant out of the loss; here every turn is learnt."""
_OUTPUT = re.compile(r"(?<=```output)(\n.*?\n```\n?)", re.DOTALL)
"""What stands between a model's opening fence of an output and the text with which it continues."""


@dataclass(frozen=True)
class TokenisedSample:
    """``labels`` are the ids where the assistant writes (the end-of-text token included) and -100 elsewhere."""

    input_ids: list[int]
    labels: list[int]


def fitting_samples(
    sources: Sequence[SampleSource],
    seed: int,
    tokenizer: Tokenizer,
    special: SpecialTokens,
    max_length: int,
    bad: BadRows | None = None,
    max_bytes: int | None = None,
) -> tuple[list[TokenisedSample], int]:
    """Return the samples of at most ``max_length`` tokens and how many longer ones were left out.

    A cut sample would teach to stop in the middle. Raises DataError if none fits; ``bad`` and ``max_bytes`` as in
    :func:`read_samples`.
    """
    bad = bad or BadRows()
    rows = read_samples(sources, seed, bad, max_bytes)
    samples = [tokenise_dialogue(segments, tokenizer, special) for segments in rows]
    fitting = [sample for sample in samples if len(sample.input_ids) <= max_length]
    with bad.explained():
        if not samples:
            raise DataError(
                "the sources hold no fine-tuning sample that can be read. Check the files and their fields."
            )
        if not fitting:
            shortest = min(len(sample.input_ids) for sample in samples)
            raise DataError(
                f"none of the {len(samples)} fine-tuning samples fits into max_length {max_length} (the shortest has "
                f"{shortest} tokens). Raise max_length."
            )
    return fitting, len(samples) - len(fitting)


def tokenise_dialogue(segments: Sequence[Segment], tokenizer: Tokenizer, special: SpecialTokens) -> TokenisedSample:
    """Join the exchanges of a dialogue as ``<s> ... </s> ... </s>``."""
    first, *others = [tokenise(exchange, tokenizer, special) for exchange in _exchanges(segments)]
    begin = len(special.begin)
    return TokenisedSample(
        first.input_ids + [token for sample in others for token in sample.input_ids[begin:]],
        first.labels + [label for sample in others for label in sample.labels[begin:]],
    )


def tokenise(exchange: Sequence[Segment], tokenizer: Tokenizer, special: SpecialTokens) -> TokenisedSample:
    """Join segments as ``<s> ... </s>``; an exchange that ends with the assistant's turn learns to stop there."""
    input_ids, labels = list(special.begin), [IGNORED] * len(special.begin)
    for role, text in exchange:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        input_ids += ids
        labels += ids if role == "assistant" else [IGNORED] * len(ids)
    ends_with_answer = bool(exchange) and exchange[-1][0] == "assistant"
    return TokenisedSample([*input_ids, special.eos], [*labels, special.eos if ends_with_answer else IGNORED])


def _exchanges(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Cut a dialogue wherever the user speaks after the assistant, whose turn ends there."""
    exchanges: list[list[Segment]] = [[]]
    for segment in segments:
        last = exchanges[-1]
        if last and last[-1][0] == "assistant" and segment[0] == "user":
            exchanges.append([segment])
        else:
            last.append(segment)
    return exchanges


def read_samples(
    sources: Sequence[SampleSource], seed: int, bad: BadRows | None = None, max_bytes: int | None = None
) -> Iterator[tuple[Segment, ...]]:
    """Yield each sample's (role, text) segments.

    Raises DataError, naming file and line, for a row that is no sample or longer than ``max_bytes``, unless ``bad``
    skips it.
    """
    for source in sources:
        if isinstance(source, MiniWorldSource):
            yield from _mini_world_samples(source, seed)
        else:
            yield from source_rows(source, seed, bad or BadRows(), max_bytes)


def _mini_world_samples(source: MiniWorldSource, seed: int) -> Iterator[tuple[Segment, ...]]:
    from rho1bench import mini_world

    if source.text != "sft_cot" and source.text != "sft_tir":
        raise DataError(f"a fine-tuning stage reads the mini world's sft_cot or sft_tir, not {source.text!r}.")
    for sample in mini_world.sft_samples(source.text, source.num_documents, seed, offset=source.offset):
        yield tuple(sample.segments)


def source_rows(
    source: LocalSource | HubSource, seed: int, bad: BadRows, max_bytes: int | None
) -> Iterator[tuple[Segment, ...]]:
    """Yield the samples of a source, which ``offset`` and ``num_documents`` count; ``bad`` handles every other row."""
    last = None if source.num_documents is None else source.offset + source.num_documents
    rows = HubRows(source, seed, None) if isinstance(source, HubSource) else LocalRows(source, max_bytes, None, None)
    found = 0
    for row in rows:
        if found == last:
            return
        try:
            if isinstance(row, DataError):
                raise row
            segments = row_segments(row[1], row[0], max_bytes)
        except DataError as error:
            bad.handle(error)
            continue
        found += 1
        if found > source.offset:
            yield segments


def row_segments(row: Mapping[str, object], where: str, max_bytes: int | None = None) -> tuple[Segment, ...]:
    """Return the (role, text) segments of one row; raises BadRow."""
    segments = _segments_of({key: value for key, value in row.items() if value is not None}, where)
    size = sum(len(text.encode("utf-8")) for _, text in segments)
    if max_bytes is not None and size > max_bytes:
        raise BadRow("too_long", where, f"a sample of {size} bytes; max_line_bytes: {max_bytes}.")
    if all(role != "assistant" for role, _ in segments):
        raise BadRow("no_answer", where, "no segment is the assistant's, so there is nothing to learn.")
    return tuple(segments)


def _segments_of(row: dict[str, object], where: str) -> list[Segment]:
    if "segments" in row:
        return _segments(row["segments"], where)
    for key in ("messages", "conversations"):
        if key in row:
            return _turns([*_system(row, where), *_messages(row[key], key, where)])
    pair = next((pair for pair in _PAIRS if all(key in row for key in pair)), None)
    if pair is not None and "prompt" not in row:
        question = _text(row, pair[0], where)
        if pair[0] == "instruction" and not _is_blank(row.get("input")):
            question += "\n" + _text(row, "input", where)
        return _turns([*_system(row, where), ("user", question), ("assistant", _text(row, pair[1], where))])
    return [("user", _text(row, "prompt", where)), ("assistant", _text(row, "completion", where))]


def _segments(value: object, where: str) -> list[Segment]:
    if not isinstance(value, list) or not value:
        raise BadRow("no_dialogue", where, "`segments` must be a non-empty list of objects with role and text.")
    segments = []
    for segment in value:
        if not isinstance(segment, dict) or segment.get("role") not in ROLES:
            raise BadRow("no_dialogue", where, f"every segment needs a role out of {', '.join(ROLES)} and a text.")
        _refuse_fields(segment, _NOT_WRITTEN, where)
        segments.append((str(segment["role"]), _text(segment, "text", where)))
    return segments


def _system(row: dict[str, object], where: str) -> list[Segment]:
    """Return the system message that a row has beside its turns; raises BadRow for what cannot be shown."""
    _refuse_fields(row, _NOT_SHOWN, where)
    return [] if _is_blank(row.get("system")) else [("system", _text(row, "system", where))]


def _messages(value: object, key: str, where: str) -> list[Segment]:
    if not isinstance(value, list) or not value:
        raise BadRow("no_dialogue", where, f"`{key}` must be a non-empty list of objects with role and content.")
    messages = []
    for message in value:
        speaker = message.get("role", message.get("from")) if isinstance(message, dict) else None
        role = _SPEAKERS.get(str(speaker), str(speaker))
        if role not in (*ROLES, "system"):
            raise BadRow("no_dialogue", where, f"a message's role is {speaker!r}; expected system, {', '.join(ROLES)}.")
        _refuse_fields(message, _NOT_WRITTEN, where)
        _refuse_unlearnt(message, role, where)
        field = "content" if message.get("content") is not None or "value" not in message else "value"
        if _is_blank(message.get(field)) and role in ("system", "tool"):
            messages += [("tool", "")] if role == "tool" else []  # a program may print nothing
        else:
            messages.append((role, _text(message, field, where)))
    return messages


def _text(row: Mapping[str, object], field: str, where: str) -> str:
    """Return the text of a field; raises BadRow, also for chat turns, which are more than their text."""
    value = row.get(field)
    if isinstance(value, list) and any(not isinstance(part, dict) or part.get("type") != "text" for part in value):
        raise BadRow("no_text", where, f"field {field!r} must be a string, or a list of parts of the type 'text'.")
    return text_of(dict(row), field, where)


def _refuse_fields(fields: Mapping[str, object], names: Sequence[str], where: str) -> None:
    name = next((name for name in names if str(fields.get(name) or "").strip() not in ("", "[]", "{}")), None)
    if name is not None:
        raise BadRow(
            "not_shown",
            where,
            f"has {name!r}, which the paper's template cannot show. Write it into the turns' text, or remove it.",
        )


def _refuse_unlearnt(message: Mapping[str, object], role: str, where: str) -> None:
    """Raise BadRow for a turn of the assistant that a row wants out of the loss."""
    for name in _LEARNT if role == "assistant" else ():
        if message.get(name) is not None and not message[name]:
            raise BadRow(
                "not_learnt",
                where,
                f"an assistant's message has {name!r}: {message[name]!r}, but every turn of the assistant is learnt. "
                "Remove the turn, or write the row as `segments`, where text of the role user is not learnt.",
            )


def _is_blank(value: object) -> bool:
    """Tell whether a field that may be left out holds nothing."""
    text = plain_text(value)
    return value is None or value == [] or (text is not None and not text.strip())


def _turns(messages: list[Segment]) -> list[Segment]:
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
    return _joined(segments)


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
