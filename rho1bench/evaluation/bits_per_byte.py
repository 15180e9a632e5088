"""Bits per byte of a checkpoint, by the engine that evaluates it: blocks of packed corpora, gold answers of tasks.

A text is a unit of work like a suite's tasks (``evaluator``): its requests go through the answer cache, and it leaves
``bits_<kind>_<name>.jsonl`` (one row a block or document) and a ``.json`` of the same name that says what it came to.
Of a block every token but the first is predicted, in the context that training gives it: the block before it, or with
``document_masking`` its own document alone. A gold answer is predicted after the prompt that the task sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rho1bench.comparison.bits_per_byte import NATS_PER_BIT, TextBits, file_name, text_bits
from rho1bench.comparison.result_files import JsonObject, as_json
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.token_bytes import token_bytes
from rho1bench.corpus.tokenizer import load_raw_tokenizer
from rho1bench.evaluation.cached_model import CachedModel, TokenPair
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines import Tick
from rho1bench.evaluation.harness.lm_eval_types import EvalTask, LMRequest
from rho1bench.evaluation.tasks.gold_answers import GoldAnswer, gold_answers
from rho1bench.modeling.build import check_tokenizer
from rho1bench.recipe.texts import TextKind
from rho1bench.system.files import read_jsonl, read_own_json, sha256_file, sha256_json, write_json, write_jsonl

Rows = list[JsonObject]
"""One a block or document: ``doc_id``, ``bits``, ``num_bytes``, ``truncated``; of a block also ``num_tokens``."""


@dataclass(frozen=True)
class CorpusText:
    """A packed corpus to measure, at most ``max_blocks`` of its blocks, evenly spread."""

    name: str
    folder: Path
    max_blocks: int


@dataclass(frozen=True)
class TextUnit:
    """One text and checkpoint; ``measure`` makes its rows, and says by a hash what it measured."""

    kind: TextKind
    name: str
    folder: Path
    fingerprint: str
    """A hash of everything that the rows depend on."""
    num_requests: int
    measure: Callable[[CachedModel, Tick], tuple[Rows, str]]

    @property
    def path(self) -> Path:
        """The file that says that the text is done."""
        return self.folder / file_name(self.kind, self.name).replace(".jsonl", ".json")

    @property
    def done(self) -> bool:
        """True if the files are there and were made from the same."""
        return self.path.exists() and read_own_json(self.path).get("fingerprint") == self.fingerprint

    def run(self, model: CachedModel, tick: Tick) -> TextBits | None:
        """Measure and write the files; None where there is nothing to measure (a task without gold answers)."""
        rows, data_sha256 = self.measure(model, tick)
        found: TextBits | None = None
        if rows:
            samples = self.folder / file_name(self.kind, self.name)
            write_jsonl(samples, rows)
            found = text_bits(rows, data_sha256, sha256_file(samples))
        result = None if found is None else as_json(found)
        write_json(self.path, {"fingerprint": self.fingerprint, "kind": self.kind, "name": self.name, "result": result})
        return found


def finished_texts(folder: Path) -> dict[TextKind, dict[str, TextBits]]:
    """Return what all finished texts in a checkpoint's folder came to, by kind and name."""
    found: dict[TextKind, dict[str, TextBits]] = {"corpus": {}, "gold_answers": {}}
    for path in sorted(folder.glob("bits_*.json")):
        unit = read_own_json(path)
        if unit["result"] is not None:
            found[unit["kind"]][unit["name"]] = TextBits.model_validate(unit["result"])
    return found


def corpus_unit(text: CorpusText, checkpoint: Checkpoint, folder: Path, length: int, identity: str) -> TextUnit:
    """Return the unit of a corpus; the model reads at most ``length`` tokens of a block.

    ``identity`` names model, engine and code. Raises DataError for a folder without a corpus, CheckpointError for a
    checkpoint with another tokenizer than the corpus's.
    """
    corpus = PackedCorpus(text.folder)
    advice = "Bits per byte of packed tokens need the tokenizer that they were packed with."
    check_tokenizer(checkpoint.folder, corpus.tokenizer_sha256, None, f"the corpus in {text.folder}", advice)
    num = min(text.max_blocks, len(corpus))
    chosen = [int(block) for block in np.unique(np.linspace(0, len(corpus) - 1, num).round().astype(np.int64))]
    is_cut = length < corpus.block_size
    length = min(length, corpus.block_size)
    data = sha256_json([corpus.fingerprint, chosen, length])
    blocks = {block: list(_pieces(corpus, block, length)) for block in chosen}
    pairs = [pair for pieces in blocks.values() for pair in pieces]

    def measure(model: CachedModel, tick: Tick) -> tuple[Rows, str]:
        corpus.check_files()
        lengths = token_bytes(load_raw_tokenizer(checkpoint.folder))
        values = iter(model.token_loglikelihoods(pairs, tick))
        rows = []
        for block, pieces in blocks.items():
            predicted = [token for _, tokens in pieces for token in tokens]
            nats = -sum(next(values) for _ in pieces)
            row = _row(str(block), nats, int(lengths[predicted].sum()), is_cut)
            rows.append(row | {"num_tokens": len(predicted)})
        return rows, data

    return TextUnit("corpus", text.name, folder, sha256_json([identity, data]), len(pairs), measure)


def _pieces(corpus: PackedCorpus, block: int, length: int) -> Iterator[TokenPair]:
    """Yield first token and predicted tokens of a block, or of each document in it where documents are masked."""
    tokens = corpus.block(block)[:length]
    ends = [len(tokens)]
    if corpus.document_ids is not None:
        documents: npt.NDArray[np.generic] = corpus.document_ids[block][:length]
        ends = [*(np.flatnonzero(documents[1:] != documents[:-1]) + 1).tolist(), len(tokens)]
    start = 0
    for end in ends:
        if end - start > 1:
            yield [int(tokens[start])], tokens[start + 1 : end].tolist()
        start = end


def answers_unit(name: str, tasks: dict[str, EvalTask], folder: Path, made_from: str, limit: int | None) -> TextUnit:
    """Return the unit of a task's gold answers (of a benchmark: all of its ``tasks``), once its samples are there.

    ``made_from`` is the fingerprint of the unit that leaves the samples.
    """

    def measure(model: CachedModel, tick: Tick) -> tuple[Rows, str]:
        rows: Rows = []
        measured: list[object] = []
        for task_name, task in tasks.items():
            found = gold_answers(task, read_jsonl(folder / f"samples_{task_name}.jsonl"))
            prefix = f"{task_name}/" if len(tasks) > 1 else ""
            for row in _answer_rows(task_name, found, model, tick):
                rows.append(row | {"doc_id": f"{prefix}{row['doc_id']}"})
            measured += [[task_name, one.doc_id, sha256_json([one.prompt, one.answer])] for one in found]
        return rows, sha256_json(measured)

    several = [task for task in tasks.values() if task.OUTPUT_TYPE != "multiple_choice"]
    num = sum(min(len(task.eval_docs), limit or len(task.eval_docs)) for task in several)
    return TextUnit("gold_answers", name, folder, sha256_json([made_from, name]), num, measure)


def _answer_rows(name: str, answers: Sequence[GoldAnswer], model: CachedModel, tick: Tick) -> Rows:
    asked = [one for one in answers if one.loglikelihood is None]
    found = dict(zip([one.doc_id for one in asked], model.loglikelihoods(_requests(name, asked), tick), strict=True))
    rows = []
    for one in answers:
        answer = found.get(one.doc_id)
        nats = -(one.loglikelihood or 0.0) if answer is None else -answer.value
        is_cut = one.truncated if answer is None else not answer.fits
        rows.append(_row(one.doc_id, nats, one.num_bytes, is_cut))
    return rows


def _requests(name: str, answers: Sequence[GoldAnswer]) -> list[LMRequest]:
    from lm_eval.api.instance import Instance

    return [
        Instance("loglikelihood", {}, (one.prompt, one.answer), index, (name, int(one.doc_id), 1))
        for index, one in enumerate(answers)
    ]


def _row(doc_id: str, nats: float, num_bytes: int, truncated: bool) -> JsonObject:
    return {"doc_id": doc_id, "bits": nats / NATS_PER_BIT, "num_bytes": num_bytes, "truncated": truncated}
