"""Stage ``tokenizer``: trains a byte-level BPE tokenizer on the sources (every digit a token of its own), or takes one.

First stage of a run. A pretrained tokenizer, from the hub or a folder, is copied as it is, special tokens and all, so
that later stages see one layout. It must be a fast one (a ``tokenizer.json``) or lie there as GPT-2's does
(``vocab.json`` and ``merges.txt``), which is converted; no code of a repository is run. Training reads text with
``tokenizer.json`` alone, inference with transformers' class of it: one that the two read differently is refused.

Ours is byte-level, so any text can be written and read back unchanged; digits stay single, so that arithmetic is
learnable by a small model; a space belongs to the word or digit after it, so ``encode(prompt) + encode(completion)``
is the encoding of both together for the prompts of the paper's protocol.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rho1bench.corpus.sources.documents import BadRows
from rho1bench.corpus.sources.reader import read_documents
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import TokenizerStage
from rho1bench.system.files import atomic_path, read_object, sha256_file, write_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
_SPECIAL_TOKENS = (BOS, EOS, PAD)
_DIGITS = " 0 1 2 3 4 5 6 7 8 9" * 10_000
"""Trained on beside the texts, so that every digit after a space is one token, whether or not the texts have it."""
PIECES = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What a token may span: a word, one digit or a run of punctuation, each with the space before it; white space."""

_LONGEST_PIECE = 1000
_LONG_RUN = re.compile(rf"[^\W\d_]{{{_LONGEST_PIECE},}}|(?:[^\w\s]|_){{{_LONGEST_PIECE},}}|\s{{{_LONGEST_PIECE},}}")
"""Characters that :data:`PIECES` may take for one piece; training takes the square of a piece's length in time."""


def run(context: StageContext) -> None:
    """Write ``tokenizer/``; raises DataError if the text cannot fill the vocabulary or the pretrained one is unfit."""
    stage = context.config(TokenizerStage)
    if stage.pretrained is not None:
        copy_pretrained(stage.pretrained, stage.revision, context.folder / "tokenizer")
        return
    assert stage.vocab_size is not None, "the schema asks for it"
    bad = BadRows(stage.on_bad_line)
    documents = read_documents(stage.sources, context.seed, bad, stage.max_line_bytes)
    texts = context.progress.track((document.text for document in documents), _num_documents(stage), "documents")
    with bad.explained():
        tokenizer = train_tokenizer(texts, stage.vocab_size)
    write_tokenizer(tokenizer, context.folder / "tokenizer")
    if bad.counts:
        context.progress.message(bad.describe())


def _num_documents(stage: TokenizerStage) -> int:
    return sum(source.num_documents or 0 for source in stage.sources)


def train_tokenizer(texts: Iterator[str], vocab_size: int) -> Tokenizer:
    """Return a ``tokenizers.Tokenizer`` of exactly ``vocab_size`` entries; the same texts give the same tokenizer."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(_SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(chain(without_long_pieces(texts), [_DIGITS]), trainer)
    found = tokenizer.get_vocab_size()
    if found != vocab_size:
        raise DataError(
            f"the tokenizer's text gives {found} tokens only, but vocab_size is {vocab_size}. "
            "Give it more documents or a smaller vocab_size."
        )
    bos_id = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, bos_id)]
    )
    return tokenizer


def without_long_pieces(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts, cut wherever a piece would be longer than :data:`_LONGEST_PIECE` characters."""
    for text in texts:
        start = 0
        for run in _LONG_RUN.finditer(text):
            for cut in range(run.start() + _LONGEST_PIECE, run.end(), _LONGEST_PIECE):
                yield text[start:cut]
                start = cut
        yield text[start:]


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write ``tokenizer`` so that ``transformers.AutoTokenizer.from_pretrained(folder)`` loads it."""
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    special = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    write_text(folder / "special_tokens_map.json", json.dumps(special, indent=2) + "\n")
    write_text(folder / "tokenizer_config.json", json.dumps(settings, indent=2) + "\n")


def load_raw_tokenizer(folder: Path) -> Tokenizer:
    """Load ``tokenizer.json`` for training text: a special token spelled out inside a text is read as plain text.

    Raises DataError if there is none that can be read.
    """
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing else
        raise DataError(f"{file}: the tokenizer cannot be loaded: {_first_line(error)}. Copy it again.") from error
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def vocabulary_size(folder: Path) -> int:
    """Return one more than the largest token id: what a model of the tokenizer in ``folder`` must have rows for.

    It may be more than there are tokens, as some tokenizers leave ids out.
    """
    return max(load_raw_tokenizer(folder).get_vocab().values(), default=-1) + 1


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of a tokenizer's special tokens, its own or ours."""

    begin: tuple[int, ...]
    """What the tokenizer puts before a text: ``<s>`` for Llama's and ours, nothing for GPT-2's."""
    bos: int | None
    eos: int
    pad: int


def special_tokens(folder: Path) -> SpecialTokens:
    """Return the special tokens of the tokenizer in ``folder``; raises DataError if it has no end-of-text token."""
    tokenizer = load_raw_tokenizer(folder)
    settings = _settings(folder)
    ids = {name: _special_id(tokenizer, settings.get(f"{name}_token")) for name in ("bos", "eos", "pad")}
    eos = ids["eos"]
    if eos is None:
        raise DataError(f"{folder}: the tokenizer has no end-of-text token (eos_token), which must end every document.")
    example = tokenizer.encode("a")
    begin = takewhile(lambda pair: pair[1] == 1, zip(example.ids, example.special_tokens_mask, strict=True))
    return SpecialTokens(tuple(token for token, _ in begin), ids["bos"], eos, eos if ids["pad"] is None else ids["pad"])


def _settings(folder: Path) -> dict[str, object]:
    """Return what ``tokenizer_config.json`` says; raises DataError if it is no JSON object."""
    return read_object(folder / "tokenizer_config.json", DataError)


def _special_id(tokenizer: Tokenizer, token: object) -> int | None:
    content = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(content) if isinstance(content, str) else None


def tokenizer_sha256(folder: Path) -> str:
    """Return the hash that corpora, score stores and checkpoints name their tokenizer by."""
    return sha256_file(folder / "tokenizer.json")


FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
_GPT2_FILES = ("vocab.json", "merges.txt")
PROBE = (
    "The cat sat on the mat.\n"
    "<|system|>\n<|user|>\nHow much is 12 + 3.5?\n<|assistant|>\n"
    "```python\nprint(12 + 3.5)\n```\n```output\n15.5\n```\n"
    "The answer is $\\boxed{15.5}$.\n\n\nLösung: größer,  北京 😀\n"
)
"""What training and inference must read alike: prose, the paper's template, a program, other scripts."""


def copy_pretrained(name: str, revision: str | None, target: Path) -> None:
    """Copy the tokenizer ``name`` (a folder or a hub id) to ``target``; raises DataError if it cannot be used."""
    source = Path(name).expanduser()
    if not source.is_dir():
        source = _download(name, revision)
    if not (source / "tokenizer.json").is_file() and not all((source / file).is_file() for file in _GPT2_FILES):
        raise DataError(
            f"{name}: has no tokenizer.json. Only fast tokenizers serve: folders or hub ids with a tokenizer.json "
            "(AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER) writes one), or with GPT-2's vocab.json and "
            "merges.txt."
        )
    if (source / "tokenizer.json").is_file():
        load_raw_tokenizer(source)
    with TemporaryDirectory() as folder:
        made = Path(folder)
        if not _is_complete(source):
            _complete(name, source, made)
        for file in FILES:
            origin = source / file if (source / file).is_file() and not (made / file).is_file() else made / file
            if origin.is_file():
                with atomic_path(target / file) as temporary:
                    shutil.copyfile(origin, temporary)
    _check(name, target)


def _is_complete(source: Path) -> bool:
    """Tell whether the files name the end-of-text token, which GPT-2's leave to the class."""
    if not (source / "tokenizer_config.json").is_file():
        return False
    return (source / "tokenizer.json").is_file() and bool(_settings(source).get("eos_token"))


def _complete(name: str, source: Path, target: Path) -> None:
    """Write to ``target`` what ``source`` lacks, as transformers' class for it knows it."""
    from transformers import AutoTokenizer, GPT2Tokenizer

    try:
        if any((source / file).is_file() for file in ("config.json", *FILES[:2])):
            known = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        else:
            known = GPT2Tokenizer.from_pretrained(source, local_files_only=True)
        known.save_pretrained(target)
    except Exception as error:  # tokenizers raises bare Exception for a file it cannot read
        raise DataError(f"{name}: the tokenizer cannot be loaded: {_first_line(error)}") from error
    if (source / "tokenizer.json").is_file():
        (target / "tokenizer.json").unlink()


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        files = [*FILES, *_GPT2_FILES, "config.json"]
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except HFValidationError as error:
        raise DataError(f"{name}: there is no such folder, and it is no hub id either.") from error
    except Exception as error:  # the hub's client raises errors of many libraries
        raise DataError(
            f"{name}: the tokenizer cannot be fetched from the hub ({type(error).__name__}: {_first_line(error)}). "
            "Check the id and the revision, or give a folder with its files as `pretrained`."
        ) from error


def _check(name: str, folder: Path) -> None:
    """Raise DataError unless the copy loads, has an end-of-text token and reads text the same everywhere."""
    from transformers import AutoTokenizer

    try:
        special_tokens(folder)
        reader = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        difference = reading_difference(folder, reader)
    except DataError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a file it cannot read, and for a text
        raise DataError(f"{name}: the tokenizer cannot be loaded: {_first_line(error)}") from error
    if difference:
        raise DataError(
            f"{name}: training and inference would read text differently. {difference} Possible causes: a special "
            "token that spells a part of the prompt, a tokenizer_class that does not fit tokenizer.json, or an end "
            "token that is added to prompts. Correct its files, or use another tokenizer."
        )


def reading_difference(folder: Path, reader: PreTrainedTokenizerBase) -> str:
    """Say how ``reader``, which inference uses, reads :data:`PROBE` differently from training; empty if it does not."""
    raw, special = load_raw_tokenizer(folder), special_tokens(folder)
    for text in (*PROBE.splitlines(keepends=True), PROBE):
        ours = [*special.begin, *raw.encode(text, add_special_tokens=False).ids]
        theirs = list(reader(text).input_ids)
        if ours != theirs:
            return f"{text!r} has the token ids {theirs} at inference ({type(reader).__name__}), {ours} in training."
    if reader.eos_token_id != special.eos:
        return f"The end-of-text token is {reader.eos_token_id} at inference, {special.eos} in training."
    return ""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
