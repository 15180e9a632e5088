"""Stages ``tokenizer`` and ``corpus``, and the sources of text they read (paper section 3.1)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from glob import escape, glob, has_magic
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rho1bench.mini_world import NoiseKind
from rho1bench.recipe.models.base import (
    Fraction,
    HubName,
    LocalRef,
    Model,
    Name,
    Operational,
    PositiveInt,
    StageBase,
    StageLookup,
    StageRef,
    StageSizes,
    StageSpec,
    Workers,
)
from rho1bench.sizing.shapes import find_shape

LOCAL_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
TextField = str | Annotated[list[str], Field(min_length=1)]
"""A field of a row, or several, joined by a line break; a field with a list of chat turns is joined the same way."""


class SourceBase(Model):
    """What every source of text has."""

    weight: Annotated[float, Field(gt=0)] | None = None
    """Share of the corpus' tokens, relative to the other sources' weights; all sources of a stage have one, or none."""
    decontaminate: Literal["report", "drop"] | None = None
    """What becomes of documents that hold a text of the corpus stage's ``benchmark_texts``: they are counted and told,
    or left out too. Default: ``report``."""

    @property
    def place(self) -> str:
        """What the source is called in messages and in corpus.json."""
        raise NotImplementedError


class MiniWorldCoverage(Model):
    """Which part of the tested world ``clean`` text shows; ``web`` text shows all of it.

    Shares of one axis each, nested (what a smaller one covers, a larger one does too); a problem must lie in all three.
    """

    tasks: Fraction = 1.0
    """Of the nine tested kinds of problems; the nearest whole number of them, at least one."""
    operands: Fraction = 1.0
    """Of each kind's problems, those with the smallest numbers."""
    phrasings: Fraction = 1.0
    """Of each kind's problems, those of the first wordings: fewer names, things and verbs."""


class MiniWorldSource(SourceBase):
    """Text of the embedded mini world (``mini_world``); documents are generated from the run's seed."""

    type: Literal["mini_world"]
    text: Literal["clean", "web", "sft_cot", "sft_tir"]
    num_documents: PositiveInt
    """How much text there is; of ``clean`` text, the amount of curated text."""
    offset: Annotated[int, Field(ge=0)] = 0
    """Number of documents of the stream to pass over first, so that two corpora can be disjoint."""
    noise_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the characters of ``web`` pages that are noise; other texts have none. 0: pages without noise lines."""
    noise_kinds: Annotated[list[NoiseKind], Field(min_length=1)] | None = None
    """What the noise of ``web`` pages is made of, each kind by its weight. Default: the eleven of WEB_MIXTURE."""
    epochs: PositiveInt = 1
    """How often the documents are read, one pass after the other: a little curated text in a large mixture."""
    coverage: MiniWorldCoverage = MiniWorldCoverage()
    """What ``clean`` text shows of the tested world."""

    @property
    def place(self) -> str:
        """Return the kind of text."""
        return f"mini_world:{self.text}"

    @model_validator(mode="after")
    def _axes_of_the_text(self) -> Self:
        if self.noise_kinds is not None and self.text != "web":
            raise ValueError(f"noise_kinds are those of text: web, not of {self.text}, which has no noise")
        if self.coverage != MiniWorldCoverage() and self.text != "clean":
            raise ValueError(f"coverage is that of text: clean, not of {self.text}, which shows everything")
        if self.epochs > 1 and self.text in ("sft_cot", "sft_tir"):
            raise ValueError("epochs are those of clean and web text; a fine-tuning stage repeats its samples itself")
        return self


class LocalSource(SourceBase):
    """Local rows, one a document: JSON lines (``.jsonl``, ``.jsonl.gz``), ``.parquet``, a folder or a glob of them."""

    type: Literal["local"]
    path: Annotated[str, LocalRef("files")]
    text_field: TextField = "text"
    num_documents: PositiveInt | None = None
    offset: Annotated[int, Field(ge=0)] = 0
    """Number of documents to pass over first, so that two corpora can be disjoint."""

    @property
    def place(self) -> str:
        """Return the path."""
        return self.path


class HubSource(SourceBase):
    """A data set of the Hugging Face hub (or a folder that ``datasets`` reads), streamed; its code is never run."""

    type: Literal["hub"]
    dataset: HubName
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    """Commit of the data set; pin it, or the corpus may change under the same recipe."""
    data_files: str | list[str] | None = None
    """Files inside the data set, globs allowed: for sets that are described by a loading script, which is not run.

    A set with a folder a language is several sources, each with its own ``data_files`` and ``weight``.
    """
    shuffle_files: bool = False
    """Read the ``data_files`` in an order drawn from the stage's seed, not by name: of a set that is sorted by topic or
    language, a budget then takes a little of everything."""
    text_field: TextField = "text"
    num_documents: PositiveInt | None = None
    offset: Annotated[int, Field(ge=0)] = 0
    """Number of documents to pass over first, so that two corpora can be disjoint."""

    @property
    def place(self) -> str:
        """Return the name of the data set, with its files where several sources may be of one set."""
        files = self.data_files
        return self.dataset if files is None else f"{self.dataset}/{files if isinstance(files, str) else files[0]}"

    @model_validator(mode="after")
    def _files_to_shuffle(self) -> Self:
        if self.shuffle_files and self.data_files is None:
            raise ValueError("shuffle_files needs data_files: which files are put in another order")
        return self


class PackageSource(SourceBase):
    """Text of installed Python packages, the same on every machine with the same versions; nothing is downloaded.

    Files stand in an order of their own, by a hash of their names; sources with other shares of them share no file.
    """

    type: Literal["package"]
    packages: Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]], Field(min_length=1)]
    """Distributions as pip calls them."""
    text: Literal["docstrings", "source"]
    """``docstrings``: each of 200 characters and more is a document. ``source``: each file is one, code and all; its
    docstrings are of the kind ``text``, the rest of the kind ``code``."""
    files_from: Annotated[float, Field(ge=0, lt=1)] = 0.0
    files_to: Fraction = 1.0
    """Which share of the files is read, from and to."""
    num_documents: PositiveInt | None = None
    offset: Annotated[int, Field(ge=0)] = 0
    """Number of documents to pass over first, so that two corpora can be disjoint."""

    @property
    def place(self) -> str:
        """Return the packages and the part of their text."""
        return f"{self.text} of {', '.join(self.packages)}"

    @model_validator(mode="after")
    def _some_files(self) -> Self:
        if self.files_from >= self.files_to:
            raise ValueError(f"files_from ({self.files_from:g}) must be less than files_to ({self.files_to:g})")
        return self


Source = Annotated[MiniWorldSource | LocalSource | HubSource | PackageSource, Field(discriminator="type")]
SampleSource = Annotated[MiniWorldSource | LocalSource | HubSource, Field(discriminator="type")]
"""What fine-tuning reads: rows that may be dialogues."""


class TextStage(StageBase):
    """How the stages that read text meet lines that are no documents."""

    on_bad_line: Literal["error", "skip"] = "error"
    """``skip`` passes over bad lines, counts them by kind and tells; ``error`` stops at the first, by file and line."""
    max_line_bytes: PositiveInt = 2**23
    """A longer line (or text of a row) is a bad line."""


class TokenizerStage(TextStage):
    """Trains a byte-level BPE tokenizer on the sources, digits as single tokens; or takes a ``pretrained`` one."""

    spec: ClassVar[StageSpec] = StageSpec("rho1bench.corpus.tokenizer:run", ("tokenizers", "transformers"))
    kind: Literal["tokenizer"]
    sources: list[Source] = []
    vocab_size: Annotated[int, Field(ge=300)] | None = None
    pretrained: HubName | None = None
    """A hub id or a folder with a fast tokenizer (``tokenizer.json``); in place of ``sources`` and ``vocab_size``."""
    revision: str | None = None
    """Commit of the ``pretrained`` tokenizer on the hub."""

    @property
    def vocabulary(self) -> int | None:
        """Number of entries; None for a pretrained tokenizer that is not known without a network."""
        if self.pretrained is None:
            return self.vocab_size
        shape = find_shape(self.pretrained, self.revision)
        return None if shape is None else shape.vocab_size

    def sizes(self, recipe: StageLookup) -> StageSizes:
        """Return the number of documents, where every source states its own."""
        return StageSizes(documents=_num_documents(self.sources))

    @model_validator(mode="after")
    def _trained_or_pretrained(self) -> Self:
        trained = bool(self.sources) and self.vocab_size is not None
        if trained == (self.pretrained is not None) or (not trained and (self.sources or self.vocab_size)):
            raise ValueError("a tokenizer stage needs either sources and vocab_size, or pretrained")
        return self


class CorpusStage(TextStage):
    """Reads the sources, tokenises them and packs documents into blocks (paper section 3.1)."""

    spec: ClassVar[StageSpec] = StageSpec("rho1bench.corpus.stage:run", ("tokenizers", "transformers", "numpy"))
    kind: Literal["corpus"]
    tokenizer: Annotated[Name, StageRef(("tokenizer",), passed_on=True)]
    sources: Annotated[list[Source], Field(min_length=1)]
    block_size: Annotated[int, Field(ge=8)]
    num_blocks: PositiveInt | None = None
    """Keep this many blocks; an error if the sources give fewer."""
    num_tokens: PositiveInt | None = None
    """The same as a number of tokens, in place of ``num_blocks``: rounded up to whole blocks."""
    num_workers: Annotated[Workers, Operational("the same bytes whatever their number")] = 1
    """Processes that tokenise; the corpus is the same, byte for byte, whatever their number."""
    at_most: bool = False
    """The budget is a limit: where the sources hold less, or one of a mixture is used up, what there is is kept."""
    benchmark_texts: Annotated[Name, StageRef(("benchmark_texts",))] | None = None
    """The texts that are looked for in every document, 13 words in a row; see ``decontaminate`` of the sources."""
    document_masking: bool = False
    """Tokens see only those of their own document, and the first token of a document is no target."""

    @model_validator(mode="after")
    def _budget_and_weights(self) -> Self:
        if self.num_blocks is not None and self.num_tokens is not None:
            raise ValueError("give num_blocks or num_tokens, not both")
        if len({source.weight is None for source in self.sources}) > 1:
            raise ValueError("give every source a weight, or none")
        if self.at_most and self.max_blocks is None:
            raise ValueError("at_most needs a budget: num_blocks or num_tokens")
        if self.benchmark_texts is None and any(source.decontaminate for source in self.sources):
            raise ValueError("decontaminate needs benchmark_texts: the stage whose texts are looked for")
        return self

    @property
    def max_blocks(self) -> int | None:
        """Blocks that the budget allows; None if everything is kept."""
        return self.num_blocks if self.num_tokens is None else -(-self.num_tokens // self.block_size)

    def sizes(self, recipe: StageLookup) -> StageSizes:
        """Return blocks, tokens and bytes of a corpus with a budget; of another one the number of its documents."""
        if self.max_blocks is None:
            return StageSizes(documents=_num_documents(self.sources))
        vocabulary = recipe.stage(self.tokenizer, TokenizerStage).vocabulary
        width = 2 if (vocabulary or 2**32) <= 2**16 else 4
        tokens = self.max_blocks * self.block_size
        return StageSizes(blocks=self.max_blocks, tokens=tokens, bytes=tokens * (width + 1))


def _num_documents(sources: list[Source]) -> int | None:
    numbers = [source.num_documents for source in sources if source.num_documents is not None]
    return sum(numbers) if numbers and len(numbers) == len(sources) else None


def named_files(place: str, suffixes: tuple[str, ...] = LOCAL_SUFFIXES) -> list[Path]:
    """Return the files that a path, folder or glob names, in the order of their names; a missing file is returned too.

    A folder is searched to any depth for ``suffixes``, through links too, but not through one that leads back.
    """
    path = Path(os.path.expanduser(place))
    if os.path.isdir(path):  # unlike Path's, false for names that no disk can hold
        return sorted(found for found in _files_below(path) if found.name.endswith(suffixes))
    if has_magic(str(path)) and not os.path.exists(path) and "\0" not in place:
        found = list(map(Path, sorted(glob(_pattern(path), recursive=True))))
        folders = {file.parent for file in found} if "**" in place else set()
        again = {folder for folder in folders if _leads_back(folder)}
        return [file for file in found if file.is_file() and file.parent not in again]
    return [path]


def _files_below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the files in a folder and in those below, each folder once on the way from the first one."""
    real = folder.resolve()
    if real in above:
        return
    for found in folder.iterdir():
        if found.is_dir():
            yield from _files_below(found, (*above, real))
        elif found.is_file():
            yield found


def _leads_back(folder: Path) -> bool:
    """Tell whether the way to a folder goes through one twice: through a link to a folder above it."""
    ways = [part.resolve() for part in (folder, *folder.parents) if part.name]
    return len(set(ways)) < len(ways)


def _pattern(path: Path) -> str:
    """Return a glob whose leading folders are taken literally where they exist, brackets in their names included."""
    literal = next(above for above in path.parents if above.is_dir())
    return os.path.join(escape(str(literal)), path.relative_to(literal))
