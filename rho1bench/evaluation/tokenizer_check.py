"""Whether an engine reads and writes text as training did; a difference is refused before a model is loaded.

Corpora are encoded with ``tokenizer.json`` itself, engines with the class that transformers finds for the folder. The
two differ where that class builds the tokenizer anew with rules of its own, where it adds other start tokens, and where
words of the dialogue format are special tokens for the one and letters for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from rho1bench.corpus.tokenizer import load_raw_tokenizer, special_tokens
from rho1bench.errors import CheckpointError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines.codec import Codec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PROBE = (
    "<|user|>\nThe cat sat on 12 mats,  twice. How many?\n<|assistant|>\n```python\ndef mats(n):\n    return 2 * n\n"
    "\nprint(mats(12))\n```\n```output\n24\n```\nIt's $\\boxed{24}$; naïve café, 数学.\tEnd\n"
)
"""Words, digits, blanks, code, the marks of the dialogue format, letters beyond ASCII."""

MARKS = ("<|user|>\n", "<|assistant|>\n")
"""Special tokens of many chat models, which a checkpoint trained elsewhere reads as such."""

CONTEXT = 20
"""Characters of the probe that a message shows before a difference."""


def check_tokenizer(checkpoint: Checkpoint) -> Codec:
    """Return the checkpoint's tokenizer as engines use it.

    How a checkpoint that was not trained here was trained is known from ``tokenizer.json`` alone, so its start tokens
    and special tokens are taken as transformers has them.

    Raises:
        CheckpointError: it cannot be loaded, or gives other ids or another text than training's.
    """
    folder = checkpoint.folder
    codec = Codec(folder)
    if not (folder / "tokenizer.json").is_file():
        return codec
    raw: Tokenizer = load_raw_tokenizer(folder)
    if checkpoint.trained_here:
        start = list(special_tokens(folder).begin)
        expected, found = start + raw.encode(PROBE, add_special_tokens=False).ids, codec.encode(PROBE)
    else:
        probe = PROBE.replace(MARKS[0], "").replace(MARKS[1], "")
        expected = raw.encode(probe, add_special_tokens=False).ids
        found = list(codec.tokenizer.encode(probe, add_special_tokens=False))
    if expected != found:
        raise CheckpointError(f"{folder}: {_difference(raw, expected, found)} {_advice(codec)}")
    written, engine = raw.decode(expected, skip_special_tokens=False), codec.decode(expected)
    if written != engine:
        raise CheckpointError(
            f"{folder}: the engine would write {_first_words(engine, written)!r} where tokenizer.json has "
            f"{_first_words(written, engine)!r}. {_advice(codec)}"
        )
    return codec


def _difference(raw: Tokenizer, expected: Sequence[int], found: Sequence[int]) -> str:
    pairs = enumerate(zip_longest(expected, found))
    place = next(place for place, (one, other) in pairs if one != other)
    before = raw.decode(list(expected[:place]))[-CONTEXT:]
    one, other = (_token(raw, ids[place : place + 1]) for ids in (expected, found))
    return (
        f"the engine would read text otherwise than training: after {before!r}, training has {one}, the engine {other}."
    )


def _token(raw: Tokenizer, ids: Sequence[int]) -> str:
    if not ids:
        return "nothing more"
    return f"{raw.id_to_token(ids[0]) or 'a special token'!r} (id {ids[0]})"


def _first_words(text: str, other: str) -> str:
    place = next((place for place, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0)
    return text[max(0, place - CONTEXT) : place + CONTEXT]


def _advice(codec: Codec) -> str:
    return (
        f"transformers reads the folder as {type(codec.tokenizer).__name__}. Correct tokenizer_config.json (its "
        'tokenizer_class, most often to "PreTrainedTokenizerFast", and its special tokens), or train with the '
        "tokenizer of the model's own family."
    )
