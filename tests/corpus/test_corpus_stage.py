"""The corpus stage as a whole: mixtures, budgets, workers, kills, full disks, memory."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_runs import content, corpus_context, make_corpus, write_lines

from rho1bench.corpus import packed_corpus, stage
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import DataError
from rho1bench.system.files import read_json, sha256_file

RUNS = Path(__file__).with_name("corpus_runs.py")


def words(seed: int, count: int, longest: int = 60) -> list[str]:
    dice = random.Random(seed)
    return [" ".join(f"word{dice.randrange(300)}" for _ in range(dice.randint(1, longest))) for _ in range(count)]


@pytest.fixture
def three(tmp_path: Path) -> list[dict[str, Any]]:
    lines = [write_lines(tmp_path / f"{name}.jsonl", words(seed, 700)) for seed, name in enumerate("abc")]
    return [{**source, "weight": weight} for source, weight in zip(lines, (6, 3, 1), strict=True)]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(packed_corpus, "TOKENS_PER_SHARD", 4096)
    return 4096


def test_a_mixture_keeps_its_weights_and_accounts_for_every_token(
    word_tokenizer: Path, tmp_path: Path, three: list[dict[str, Any]]
) -> None:
    corpus = make_corpus(word_tokenizer, tmp_path / "corpus", three, num_tokens=100_001)
    counts = [source["num_tokens"] for source in corpus.meta["sources"]]
    assert len(corpus) == 3126  # rounded up to whole blocks
    assert sum(counts) == corpus.meta["num_tokens"] == 3126 * 32
    longest = 60 * 5 + 2
    for count, share in zip(counts, (0.6, 0.3, 0.1), strict=True):
        assert abs(count - share * sum(counts)) <= longest
    assert sum(source["num_documents"] for source in corpus.meta["sources"]) == corpus.meta["num_documents"]


def test_a_mixture_whose_source_runs_out(word_tokenizer: Path, tmp_path: Path, three: list[dict[str, Any]]) -> None:
    few = [three[0], {**three[1], "num_documents": 20}]
    with pytest.raises(DataError, match=r"b\.jsonl is used up after .*weight 3\) cannot be kept"):
        make_corpus(word_tokenizer, tmp_path / "short", few, num_tokens=100_000)
    corpus = make_corpus(word_tokenizer, tmp_path / "whole", few)
    first, second = (source["num_tokens"] for source in corpus.meta["sources"])
    assert corpus.meta["sources"][1]["num_documents"] == 20
    assert first / second == pytest.approx(2, rel=0.2)


def test_workers_change_no_byte(
    word_tokenizer: Path, tmp_path: Path, three: list[dict[str, Any]], small_shards: int
) -> None:
    world = {"type": "mini_world", "text": "web", "num_documents": 300, "weight": 2}
    fields = {"num_tokens": 60_000, "document_masking": True}
    for workers in (1, 2, 3):
        make_corpus(word_tokenizer, tmp_path / str(workers), [*three, world], num_workers=workers, **fields)
    expected = content(tmp_path / "1")
    assert len([name for name in expected if name.startswith("blocks")]) == 15
    assert "documents-00014.npy" in expected
    for workers in (2, 3):
        assert content(tmp_path / str(workers)) == expected


def test_killed_anywhere_it_ends_with_the_same_bytes(
    word_tokenizer: Path,
    tmp_path: Path,
    three: list[dict[str, Any]],
    small_shards: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every write in turn is the last one of a killed stage."""
    with (tmp_path / "b.jsonl").open("a") as handle:
        handle.write("no json\n")
    sources = [{**source, "weight": None, "num_documents": 250} for source in three]
    sources[1] = {**sources[1], "num_documents": None}
    sources[1]["path"] = str(tmp_path / "[bc].jsonl")
    fields = {"on_bad_line": "skip", "document_masking": True}
    make_corpus(word_tokenizer, tmp_path / "straight", sources, **fields)
    expected = content(tmp_path / "straight")
    assert read_json(tmp_path / "straight" / "corpus.json")["sources"][1]["bad_lines"]["not_json"]["count"] == 1
    replace, kills = os.replace, 0

    def dying_replace(source: str, target: str) -> None:
        if budget[0] == 0:
            raise KeyboardInterrupt
        budget[0] -= 1
        replace(source, target)

    monkeypatch.setattr("rho1bench.system.files.os.replace", dying_replace)
    for writes in (1, 3, 5, 40, 7, 90, 2, 10**6):
        budget = [writes]
        try:
            make_corpus(word_tokenizer, tmp_path / "killed", sources, **fields)
        except KeyboardInterrupt:
            kills += 1
            assert not (tmp_path / "killed" / "corpus.json").exists()
    assert kills == 7
    assert content(tmp_path / "killed") == expected


def test_finished_shards_are_not_made_again_and_other_settings_start_over(
    word_tokenizer: Path,
    tmp_path: Path,
    three: list[dict[str, Any]],
    small_shards: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full, saved = OSError(errno.ENOSPC, "No space left on device"), stage.save_array

    def filling(path: Path, array: Any) -> None:
        if path.name == "kinds-00006.npy":
            raise full
        saved(path, array)

    monkeypatch.setattr(stage, "save_array", filling)
    with pytest.raises(OSError, match="No space left"):
        make_corpus(word_tokenizer, tmp_path / "corpus", three, num_tokens=60_000)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "corpus").glob("*-0000[0-5].npy")}
    assert len(kept) == 12
    monkeypatch.setattr(stage, "save_array", saved)
    make_corpus(word_tokenizer, tmp_path / "corpus", three, num_tokens=60_000)
    assert {name: (tmp_path / "corpus" / name).stat().st_mtime_ns for name in kept} == kept
    make_corpus(word_tokenizer, tmp_path / "straight", three, num_tokens=60_000)
    assert content(tmp_path / "corpus") == content(tmp_path / "straight")


def run_child(tokenizer: Path, folder: Path, sources: list[dict[str, Any]], shard: int, **fields: Any) -> Any:
    wanted = {"tokenizer": str(tokenizer), "folder": str(folder), "sources": sources, "fields": fields}
    command = [sys.executable, str(RUNS), json.dumps({**wanted, "tokens_per_shard": shard})]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.sweep
def test_kill_minus_nine_with_workers(word_tokenizer: Path, tmp_path: Path) -> None:
    world = [{"type": "mini_world", "text": "web", "num_documents": 1200}]
    folder = tmp_path / "killed"
    child = run_child(word_tokenizer, folder, world, 2**14, num_workers=2)
    end = time.monotonic() + 60
    while not (folder / "blocks-00002.npy").exists():
        assert child.poll() is None
        assert time.monotonic() < end, "no third shard"
        time.sleep(0.01)
    workers = children_of(child.pid)
    assert len(workers) >= 2
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not (folder / "corpus.json").exists()
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < end, "the workers outlive their parent"
        time.sleep(0.05)
    kept = (folder / "blocks-00001.npy").stat().st_mtime_ns
    for name, workers_now in (("killed", 2), ("straight", 1)):
        again = run_child(word_tokenizer, tmp_path / name, world, 2**14, num_workers=workers_now)
        again.communicate()
        assert again.returncode == 0
    assert (folder / "blocks-00001.npy").stat().st_mtime_ns == kept
    shards = {name: value for name, value in content(folder).items() if not name.startswith(".")}
    assert shards == content(tmp_path / "straight")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_flipped_byte_is_found_by_the_name_of_its_file(
    word_tokenizer: Path, tmp_path: Path, three: list[dict[str, Any]], small_shards: int
) -> None:
    corpus = make_corpus(word_tokenizer, tmp_path / "corpus", three, num_tokens=20_000, document_masking=True)
    assert corpus.meta["sha256"] == {path.name: sha256_file(path) for path in (tmp_path / "corpus").glob("*.npy")}, (
        "hashes of the files as they lie there"
    )
    corpus.check_files()
    for name in ("blocks-00003.npy", "kinds-00000.npy", "documents-00004.npy"):
        path = tmp_path / "corpus" / name
        data = bytearray(path.read_bytes())
        data[-7] ^= 1
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"{name}: is missing or was changed"):
            PackedCorpus(tmp_path / "corpus").check_files()
        data[-7] ^= 1
        path.write_bytes(data)
    (tmp_path / "corpus" / "blocks-00001.npy").unlink()
    with pytest.raises(DataError, match=r"blocks-00001\.npy: is missing"):
        corpus.check_files()


def test_a_corpus_without_hashes_is_taken_as_it_is(word_tokenizer: Path, tmp_path: Path) -> None:
    corpus = make_corpus(word_tokenizer, tmp_path / "corpus", [write_lines(tmp_path / "a.jsonl", words(0, 100))])
    meta = {name: value for name, value in corpus.meta.items() if name != "sha256"}
    (tmp_path / "corpus" / "corpus.json").write_text(json.dumps(meta))
    PackedCorpus(tmp_path / "corpus").check_files()


@pytest.mark.parametrize("weights", [(None, None), (1, 1)])
def test_sources_whose_every_line_is_bad(word_tokenizer: Path, tmp_path: Path, weights: tuple[Any, Any]) -> None:
    sources = [write_lines(tmp_path / f"{name}.jsonl", [""] * 12) for name in "ab"]
    sources = [{**source, "weight": weight} for source, weight in zip(sources, weights, strict=True)]
    words = (
        r"hold no document that can be read\. .*a\.jsonl: passed over 12 bad lines: 12 no_text \(first: .*a\.jsonl:1\)"
    )
    with pytest.raises(DataError, match=words):
        make_corpus(word_tokenizer, tmp_path / "corpus", sources, on_bad_line="skip")
    some = write_lines(tmp_path / "c.jsonl", ["word1", "", "word2"])
    with pytest.raises(DataError, match=r"Give it more documents or lower num_blocks\. .*passed over 1 bad lines"):
        make_corpus(word_tokenizer, tmp_path / "d", [some], on_bad_line="skip", num_blocks=50)
    with pytest.raises(DataError, match=r"has 2 documents, but the recipe asks for 3\. \(.*passed over 1 bad lines"):
        make_corpus(word_tokenizer, tmp_path / "e", [{**some, "num_documents": 3}], on_bad_line="skip")


@pytest.mark.sweep
def test_memory_does_not_grow_with_the_corpus(word_tokenizer: Path, tmp_path: Path) -> None:
    texts = words(0, 20, 2000)
    peaks, sizes = [], []
    for copies in (10, 80):
        source = write_lines(tmp_path / "docs.jsonl", texts * copies)
        child = run_child(word_tokenizer, tmp_path / str(copies), [source], 2**16)
        peaks.append(int(child.communicate()[0]))
        sizes.append(read_json(tmp_path / str(copies) / "corpus.json")["num_tokens"])
    assert sizes[1] > 7.9 * sizes[0] > 1e7
    assert peaks[1] < peaks[0] + 16_000, f"{peaks} kB for {sizes} tokens"


def test_every_block_of_every_source_is_there(word_tokenizer: Path, tmp_path: Path, small_shards: int) -> None:
    """A document longer than several shards, and one of a single word."""
    long = " ".join(words(1, 500))
    sources = [write_lines(tmp_path / "long.jsonl", [long, "word1"]), write_lines(tmp_path / "b.jsonl", ["word2"] * 50)]
    corpus = make_corpus(word_tokenizer, tmp_path / "corpus", sources, document_masking=True)
    tokens = np.concatenate([corpus.block(index) for index in range(len(corpus))])
    assert len(corpus) > 3 * small_shards // 32
    assert [source["num_documents"] for source in corpus.meta["sources"]] == [2, 50]
    assert sum(source["num_tokens"] for source in corpus.meta["sources"]) == len(tokens) == corpus.meta["num_tokens"]


def test_a_second_run_of_a_finished_stage_writes_nothing(word_tokenizer: Path, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", words(0, 100))
    context = corpus_context(word_tokenizer, tmp_path / "corpus", [source])
    stage.run(context)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "corpus").iterdir()}
    stage.run(context)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "corpus").iterdir()} == before
