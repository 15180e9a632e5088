"""Whether an engine reads and writes text as training did; a difference is refused before a model is loaded.

Corpora are encoded with ``tokenizer.json`` itself, engines with the class that transformers finds for the folder. The
two differ where that class builds the tokenizer anew with rules of its own, where it adds other start tokens, and where
words of the dialogue format are special tokens for the one and letters for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from rho1bench.corpus.tokenizer import PROBE, load_raw_tokenizer, reading_difference
from rho1bench.errors import CheckpointError, DataError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines.codec import Codec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHAT_MARKS = ("<|system|>\n", "<|user|>\n", "<|assistant|>\n")
"""Special tokens of many chat models, which a checkpoint trained elsewhere reads as such."""
_SHOWN = 20
"""Characters before and after a difference that a message shows."""


def check_tokenizer(checkpoint: Checkpoint) -> Codec:
    """Return the checkpoint's tokenizer as engines use it.

    How a checkpoint that was not trained here was trained is known from ``tokenizer.json`` alone, so its start tokens
    and special tokens are taken as transformers has them.

    Raises:
        CheckpointError: it cannot be loaded, or gives other ids or another text than training's.
        DataError: its tokenizer.json cannot be read.
    """
    folder = checkpoint.folder
    codec = Codec(folder)
    if not (folder / "tokenizer.json").is_file():
        return codec
    try:
        raw = load_raw_tokenizer(folder)
        difference = reading_difference(folder, codec.tokenizer) if checkpoint.trained_here else _difference(raw, codec)
        difference = difference or _written_difference(raw, codec)
    except DataError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a text that a file's model cannot read
        raise CheckpointError(
            f"{folder}: the tokenizer cannot be used ({error}). See that the tokenizer_class in tokenizer_config.json "
            "is that of tokenizer.json."
        ) from error
    if difference:
        raise CheckpointError(
            f"{folder}: the engine would read or write text otherwise than training. {difference} transformers uses "
            f"{type(codec.tokenizer).__name__} for the folder. Correct tokenizer_config.json (its tokenizer_class, "
            'most often to "PreTrainedTokenizerFast", or its special tokens), or train with the tokenizer of the '
            "model's own family."
        )
    return codec


def _difference(raw: Tokenizer, codec: Codec) -> str:
    """Return where the tokens of a plain text differ; empty if they do not."""
    probe = PROBE
    for mark in CHAT_MARKS:
        probe = probe.replace(mark, "")
    expected = raw.encode(probe, add_special_tokens=False).ids
    found = codec.tokenizer.encode(probe, add_special_tokens=False)
    place = next((place for place, (one, other) in enumerate(zip_longest(expected, found)) if one != other), None)
    if place is None:
        return ""
    before = raw.decode(expected[:place])[-_SHOWN:]
    return f"After {before!r}, training has {_token(raw, expected[place:])}, the engine {_token(raw, found[place:])}."


def _token(raw: Tokenizer, ids: Sequence[int]) -> str:
    return f"{raw.id_to_token(ids[0])!r} (id {ids[0]})" if ids else "nothing more"


def _written_difference(raw: Tokenizer, codec: Codec) -> str:
    """Return where the texts of the same tokens differ; empty if they do not."""
    ids = raw.encode(PROBE, add_special_tokens=False).ids
    written, engine = raw.decode(ids, skip_special_tokens=False), codec.decode(ids)
    if written == engine:
        return ""
    place = next((place for place, (a, b) in enumerate(zip(written, engine, strict=False)) if a != b), 0)
    shown = slice(max(0, place - _SHOWN), place + _SHOWN)
    return f"For the tokens of {written[shown]!r} the engine writes {engine[shown]!r}."
