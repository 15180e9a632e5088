from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rho1bench.corpus import packed_corpus
from rho1bench.corpus import stage as corpus_stage
from rho1bench.corpus.encoder import SPECIAL_KIND, DocumentEncoder
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.packing import Packer
from rho1bench.corpus.sources.documents import Document, plain_document
from rho1bench.corpus.tokenizer import load_raw_tokenizer, special_tokens, train_tokenizer, write_tokenizer
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import Recipe
from rho1bench.system.progress import SilentProgress

KINDS = st.sampled_from(["math", "menu", "advert"])
PIECES = st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), KINDS))


def document(pieces: list[tuple[str, str]]) -> Document:
    spans, start = [], 0
    for text, kind in pieces:
        spans.append((start, start + len(text), kind))
        start += len(text)
    return Document("".join(text for text, _ in pieces), tuple(spans))


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    words = [f"word{number} menu about {number}+{number}" for number in range(300)]
    write_tokenizer(train_tokenizer(iter(words), 268), folder / "tokenizer")
    return folder


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder: Path) -> Any:
    return load_raw_tokenizer(tokenizer_folder / "tokenizer")


@pytest.fixture(scope="module")
def encoder(tokenizer_folder: Path, tokenizer: Any) -> DocumentEncoder:
    return DocumentEncoder(tokenizer, special_tokens(tokenizer_folder / "tokenizer"))


def packed_blocks(
    encoder: DocumentEncoder, documents: list[Document], block_size: int, shard_blocks: int = 3
) -> tuple[Packer, np.ndarray, np.ndarray]:
    packer = Packer(block_size, shard_blocks, None, np.uint16)
    tokens, kinds = [np.empty((0, block_size))], [np.empty((0, block_size))]
    for one in encoder.encode(documents):
        for shard in packer.add(0, one):
            tokens.append(shard.tokens.copy())
            kinds.append(shard.kinds.copy())
    rest = packer.rest()
    if rest is not None:
        tokens.append(rest.tokens)
        kinds.append(rest.kinds)
    return packer, np.concatenate(tokens), np.concatenate(kinds)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=8), st.integers(8, 40))
def test_every_token_in_order_with_its_kind(
    tokenizer: Any, encoder: DocumentEncoder, documents: list[list[tuple[str, str]]], block_size: int
) -> None:
    packer, tokens, kinds = packed_blocks(encoder, [document(pieces) for pieces in documents], block_size)
    expected_tokens: list[int] = []
    expected_kinds: list[str] = []
    for pieces in documents:
        doc = document(pieces)
        encoding = tokenizer.encode(doc.text, add_special_tokens=False)
        expected_tokens += [tokenizer.token_to_id("<s>"), *encoding.ids, tokenizer.token_to_id("</s>")]
        kind_of_char = [kind for start, end, kind in doc.spans for _ in range(start, end)]
        of_tokens = [kind_of_char[end - 1] for _, end in encoding.offsets]
        expected_kinds += [SPECIAL_KIND, *of_tokens, SPECIAL_KIND]
    whole = len(expected_tokens) // block_size * block_size
    assert len(tokens) == packer.num_blocks == whole // block_size
    assert tokens.reshape(-1).tolist() == expected_tokens[:whole]
    assert [packer.kinds.names[int(kind)] for kind in kinds.reshape(-1)] == expected_kinds[:whole]
    assert packer.tokens_kept.get(0, 0) == whole


def context(tokenizer_folder: Path, folder: Path, **fields: object) -> StageContext:
    path = folder / "docs.jsonl"
    path.write_text("".join(json.dumps({"text": f"word{number} about 12"}) + "\n" for number in range(200)))
    stages = [
        {"name": "tokens", "kind": "tokenizer", "vocab_size": 300, "sources": [{"type": "local", "path": str(path)}]},
        {
            "name": "corpus",
            "kind": "corpus",
            "tokenizer": "tokens",
            "block_size": 16,
            "sources": [{"type": "local", "path": str(path)}],
            **fields,
        },
    ]
    recipe = Recipe.model_validate({"name": "packing", "stages": stages})
    folders = {"tokens": tokenizer_folder, "corpus": folder}
    return StageContext(recipe, recipe.stages[1], folder, folders, 0, SilentProgress())


def test_stage_writes_shards_that_read_as_one(
    tokenizer_folder: Path, encoder: DocumentEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_corpus, "TOKENS_PER_SHARD", 7 * 16)
    corpus_stage.run(context(tokenizer_folder, tmp_path, num_blocks=40))
    corpus = PackedCorpus(tmp_path)
    documents = [plain_document(f"word{number} about 12") for number in range(200)]
    expected = packed_blocks(encoder, documents, 16)[1][:40]
    assert len(corpus) == 40
    assert corpus.meta["num_tokens"] == 640
    assert corpus.meta["kinds"] == [SPECIAL_KIND, "text"]
    assert sorted(path.name for path in tmp_path.glob("blocks-*"))[-1] == "blocks-00005.npy"
    for index, tokens in enumerate(expected):
        np.testing.assert_array_equal(corpus.block(index), tokens)
    np.testing.assert_array_equal(corpus.blocks.rows(5, 23), expected[5:23])
    assert not list(tmp_path.glob("progress*"))
    assert corpus.blocks.rows(0, 3).dtype == np.uint16
    assert corpus.kind_names(0)[0] == SPECIAL_KIND
    paths = [tmp_path / packed_corpus.shard_name("blocks", index) for index in range(6)]
    two_open = packed_corpus.Shards(paths, 40, 7, max_open=2)
    for index in (0, 39, 8, 0, 20, 8):
        np.testing.assert_array_equal(two_open[index], expected[index])
        assert len(two_open._maps) <= 2


def test_fingerprint_follows_the_content(tokenizer_folder: Path, tmp_path: Path) -> None:
    fingerprints = []
    for name, fields in {"a": {"num_blocks": 9}, "b": {"num_blocks": 9}, "c": {"num_blocks": 10}}.items():
        (tmp_path / name).mkdir()
        corpus_stage.run(context(tokenizer_folder, tmp_path / name, **fields))
        fingerprints.append(PackedCorpus(tmp_path / name).fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_too_few_tokens_and_missing_corpus(tokenizer_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="100000 are asked for"):
        corpus_stage.run(context(tokenizer_folder, tmp_path, num_blocks=100_000))
    assert not (tmp_path / "corpus.json").exists()
    with pytest.raises(DataError, match=r"corpus\.json is missing"):
        PackedCorpus(tmp_path)
