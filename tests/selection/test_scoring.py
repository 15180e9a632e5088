"""Scoring a packed corpus: the same store whatever befalls it, and a clear word for what does not fit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import ForkingProcess
from scoring_world import BLOCKS, NUM_SHARDS, SIZE, VOCABULARY, World, write_corpus, write_model

from rho1bench.corpus.packed_corpus import PackedCorpus, shard_name
from rho1bench.corpus.stage import save_array
from rho1bench.corpus.tokenizer import train_tokenizer, write_tokenizer
from rho1bench.errors import CheckpointError, RunError, ScoreStoreError
from rho1bench.pipeline.decision import decide
from rho1bench.pipeline.fingerprint import stage_fingerprint
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import Recipe
from rho1bench.selection import stage as scoring
from rho1bench.selection.local_reference import LocalReference
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.stage import ScoreOptions, run_score, score
from rho1bench.system.files import read_json, sha256_file, sha256_json, write_json
from rho1bench.system.paths import PACKAGE
from rho1bench.system.progress import SilentProgress


def hashes(store: Path) -> dict[str, str]:
    """Of every file, but for the seconds that it took."""
    found = {path.name: sha256_file(path) for path in store.iterdir()}
    if (store / "scores.json").exists():
        finished = read_json(store / "scores.json")
        found["scores.json"] = sha256_json(finished | {"cost": finished["cost"] | {"seconds": None}})
    return found


def test_the_store_holds_what_the_model_says(world: World) -> None:
    from transformers import AutoModelForCausalLM

    corpus, store = PackedCorpus(world.corpus), TokenScores(world.store)
    assert len(list(world.store.glob("scores-*.npy"))) == NUM_SHARDS
    assert len(store) == BLOCKS
    model = AutoModelForCausalLM.from_pretrained(world.model, dtype=torch.float64)
    for index in range(BLOCKS):
        block_T = torch.from_numpy(corpus.block(index))
        with torch.no_grad():
            log_probs = torch.log_softmax(model(block_T.unsqueeze(0)).logits[0, :-1], dim=1)
        losses = -log_probs.gather(1, block_T[1:].unsqueeze(1)).squeeze(1)
        entropies = -(log_probs.exp() * log_probs).sum(dim=1)
        expected = torch.stack([losses, entropies], dim=1).numpy()
        np.testing.assert_allclose(store.block(index)[1:], expected, rtol=1e-3, atol=1e-3)
        assert np.isnan(store.block(index)[0]).all()


def test_bf16_is_near_and_not_the_same(world: World, tmp_path: Path) -> None:
    score(world.options(tmp_path, precision="bf16"), SilentProgress())
    exact, rough = TokenScores(world.store), TokenScores(tmp_path)
    assert rough.meta["precision"] == "bf16"
    apart = np.concatenate([np.abs(exact.block(index)[1:] - rough.block(index)[1:]) for index in range(BLOCKS)])
    assert 0 < apart.mean() < 0.05


def test_scores_made_beforehand_are_those_of_the_stage(world: World, tmp_path: Path, monkeypatch) -> None:
    """In the stage's folder, where ``rho1bench score`` has put them; those of another model are refused and stay."""
    folder = tmp_path / "scores"
    score(ScoreOptions(world.corpus, folder, str(world.model), num_threads=1), SilentProgress())
    before = {path.name: path.read_bytes() for path in folder.glob("*.npy")}
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "tokenizer").symlink_to(world.model)

    def context(model: Path) -> StageContext:
        source = {"type": "mini_world", "text": "web", "num_documents": 1}
        stages = [
            {"name": "tokens", "kind": "tokenizer", "pretrained": str(world.model)},
            {"name": "web", "kind": "corpus", "tokenizer": "tokens", "block_size": SIZE, "sources": [source]},
            {"name": "scores", "kind": "score", "corpus": "web", "reference": {"pretrained": str(model)}},
        ]
        recipe = Recipe.model_validate({"name": "beforehand", "stages": stages})
        inputs = {"tokens": tmp_path / "tokens", "web": world.corpus}
        return StageContext(recipe, recipe.stage("scores"), folder, inputs, 0, SilentProgress())

    stage = context(world.model).stage
    decision = decide(folder, stage_fingerprint(stage, 0, {}), takes_files=stage.spec.takes_files)
    assert (decision.action, decision.set_aside) == ("resume", False)
    with pytest.raises(ScoreStoreError, match="of another reference"):
        scoring.run(context(write_model(tmp_path / "other", 1)))
    monkeypatch.setattr(scoring.LocalReference, "scores", None)  # nothing is scored again
    scoring.run(context(world.model))
    assert {path.name: path.read_bytes() for path in folder.glob("*.npy")} == before
    assert TokenScores(folder).meta["reference"] == str(world.model)


def test_documents_of_a_masked_corpus_do_not_see_each_other(world: World, tmp_path: Path) -> None:
    documents = np.zeros((BLOCKS, SIZE), dtype=np.uint16)
    documents[:, 7:] = 1
    stores = []
    for number in range(2):
        corpus = write_corpus(tmp_path / f"corpus{number}", world.model, document_masking=True)
        rows = np.load(corpus / shard_name("blocks", 0))
        rows[:, :7] = (rows[:, :7] + 100 * number) % VOCABULARY
        save_array(corpus / shard_name("blocks", 0), rows)
        save_array(corpus / shard_name("documents", 0), documents)
        score(world.options(tmp_path / f"store{number}", corpus=corpus), SilentProgress())
        stores.append(TokenScores(tmp_path / f"store{number}"))
    for index in range(BLOCKS):
        one, two = (store.block(index) for store in stores)
        np.testing.assert_array_equal(one[8:], two[8:])
        assert not np.array_equal(one[1:7], two[1:7])
    with pytest.raises(ScoreStoreError, match="document_masking"):
        score(replace(world.served(tmp_path, "http://127.0.0.1:9/v1"), corpus=corpus), SilentProgress())


# --- kills, full disks, several processes ---------------------------------------------------------------------------


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def test_a_kill_loses_no_finished_shard_and_leaves_no_half_one(
    world: World, forks: ForkingProcess, tmp_path: Path
) -> None:
    assert forks.exit_code("scoring_forks", "run_and_die", world.corpus, tmp_path, world.model) == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == ["scores-00000.npy", "scores-00001.npy"]
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    with pytest.raises(ScoreStoreError, match=r"scores\.json is missing"):
        TokenScores(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    score(world.options(tmp_path), SilentProgress())
    assert hashes(tmp_path) == hashes(world.store)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_damaged_shard_is_refused_by_readers_and_scored_again_on_resume(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(scoring, "_finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            score(world.options(tmp_path), SilentProgress())
    for finished in (False, True):
        path = tmp_path / "scores-00002.npy"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        if finished:
            with pytest.raises(ScoreStoreError, match=r"scores-00002\.npy: is missing or was changed"):
                TokenScores(tmp_path).check_files()
        others = {other: other.stat().st_mtime_ns for other in tmp_path.glob("*.npy") if other != path}
        score(world.options(tmp_path), SilentProgress())
        assert hashes(tmp_path) == hashes(world.store)
        assert {other: other.stat().st_mtime_ns for other in others} == others
        TokenScores(tmp_path).check_files()


def test_a_full_disk_is_told_and_the_same_command_completes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        monkeypatch.setattr(scoring, "Progress", SilentProgress)
        (disk / "filler").write_bytes(b"x" * 4096)
        with pytest.raises(RunError, match=r"is full \(.*same command"):
            run_score(world.options(disk / "store"))
        there = sorted((disk / "store").glob("*.npy"))
        assert 0 < len(there) < NUM_SHARDS
        assert not list((disk / "store").glob(".*.tmp"))
        for path in there:
            assert sha256_file(path) == sha256_file(world.store / path.name)
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        run_score(world.options(disk / "store"))
        assert hashes(disk / "store") == hashes(world.store)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_two_processes_write_what_one_does(world: World, forks: ForkingProcess, tmp_path: Path) -> None:
    """To the last bit, since each process takes whole shards, with one thread in both cases."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert forks.exit_code("scoring_forks", "run_in_two", world.corpus, tmp_path / "store", world.model, port) == 0
    assert hashes(tmp_path / "store") == hashes(world.store)


@pytest.mark.sweep
def test_processes_of_accelerate_launch_go_on_with_what_is_there(world: World, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = ["-m", "rho1bench", "score", str(world.corpus), "--reference", str(world.model), "--output"]
    options = ["--batch-size", "3", "--shard-tokens", str(4 * SIZE), "--threads", "1"]
    (tmp_path / "store").mkdir()
    for name in ("scoring.json", "scores-00001.npy"):
        (tmp_path / "store" / name).write_bytes((world.store / name).read_bytes())
    done = subprocess.run(
        [*launch, *command, str(tmp_path / "store"), *options],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1 of 6 shards are there" in done.stderr
    assert hashes(tmp_path / "store") == hashes(world.store)


def test_parts_are_joined_to_large_shards(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers in two files, also where scoring was interrupted; a store without entropies has half of them."""
    made: list[int] = []
    scores = LocalReference.scores

    def interrupted(self: LocalReference, corpus: Any, first: int, *rest: Any) -> Any:
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(first)
        return scores(self, corpus, first, *rest)

    options = world.options(tmp_path / "store", shard_tokens=12 * SIZE, part_tokens=4 * SIZE, entropies=False)
    with monkeypatch.context() as patched:
        patched.setattr(LocalReference, "scores", interrupted)
        with pytest.raises(KeyboardInterrupt):
            score(options, SilentProgress())
        assert made == [0, 4, 8, 12]
        (tmp_path / "store/parts/scores-00000-001.npy").unlink()
        made.clear()
        score(options, SilentProgress())
        assert made == [4, 16, 20]
    files = ["scores-00000.npy", "scores-00001.npy", "scores.json", "scoring.json"]
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == files
    store, whole = TokenScores(tmp_path / "store"), TokenScores(world.store)
    store.check_files()
    for index in range(BLOCKS):
        assert np.array_equal(store.values(index, "losses"), whole.values(index, "losses"), equal_nan=True)
        assert np.isnan(store.block(index)[:, 1]).all()
    sizes = [sum(path.stat().st_size for path in one.folder.glob("*.npy")) for one in (store, whole)]
    assert sizes[0] < 0.6 * sizes[1]
    with pytest.raises(ScoreStoreError, match="hold no entropies"):
        store.check_entropies()


# --- what does not fit ----------------------------------------------------------------------------------------------


def test_a_store_of_another_reference_packing_or_precision_is_refused_by_name(world: World, tmp_path: Path) -> None:
    store = tmp_path / "store"
    score(world.options(store), SilentProgress())
    other_model = write_model(tmp_path / "model", 1)
    other_corpus = write_corpus(tmp_path / "corpus", world.model, fingerprint="another packing")
    for change, named in (
        ({"reference": str(other_model)}, "reference_sha256"),
        ({"corpus": other_corpus}, "corpus_fingerprint"),
        ({"precision": "bf16"}, "precision"),
        ({"shard_tokens": 8 * SIZE}, "shard_blocks"),
    ):
        with pytest.raises(ScoreStoreError, match=named) as caught:
            score(world.options(store, **change), SilentProgress())
        assert str(caught.value).count("the scores were made with") == 1
    assert hashes(store) == hashes(world.store)
    with pytest.raises(ScoreStoreError, match="corpus_fingerprint"):
        TokenScores(store).check(PackedCorpus(other_corpus))


def test_a_reference_of_another_tokenizer_is_refused_unless_its_vocabulary_is_the_same(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "form").mkdir()
    for path in world.model.iterdir():
        (tmp_path / "form" / path.name).write_bytes(path.read_bytes())
    tokenizer = tmp_path / "form" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    changed = world.options(tmp_path / "store", reference=str(tmp_path / "form"))
    with pytest.raises(CheckpointError, match="another tokenizer"):
        score(changed, SilentProgress())
    score(replace(changed, tokenizer=world.model), SilentProgress())
    write_tokenizer(train_tokenizer(iter(["quite another text here " * 9] * 3), 280), tmp_path / "form")
    with pytest.raises(CheckpointError, match="another tokenizer"):
        score(replace(changed, tokenizer=world.model), SilentProgress())
    tokenizer.unlink()
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json"):
        score(changed, SilentProgress())


def test_what_cannot_score_is_told(world: World, tmp_path: Path) -> None:
    short = write_model(tmp_path / "short", 0, positions=8)
    with pytest.raises(CheckpointError, match="reads at most 8 tokens"):
        score(world.options(tmp_path / "a", reference=str(short)), SilentProgress())
    with pytest.raises(CheckpointError, match="no such folder"):
        score(world.options(tmp_path / "a", reference="./nowhere"), SilentProgress())
    for wrong in ({"reference": None}, {"server": "http://127.0.0.1:9/v1"}):
        with pytest.raises(ScoreStoreError, match="either a reference"):
            score(world.options(tmp_path / "a", **wrong), SilentProgress())
    assert not (tmp_path / "a").exists()


# --- a server -------------------------------------------------------------------------------------------------------


def test_the_bench_measures_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from rho1bench.bench import score as bench

    monkeypatch.setattr(bench, "NUM_BLOCKS", 2)
    small = replace(bench.SHAPE, hidden_size=32, intermediate_size=64, num_hidden_layers=1, vocab_size=500)
    told = json.loads(bench.report(bench.run(1, 1, small)).splitlines()[-1])
    assert (told["rounds"], told["tokens"], told["vocab_size"]) == (1, 1024, 500)
    assert told["ratio"] == pytest.approx(told["scoring_per_second"] / told["forward_per_second"])


def test_a_store_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    write_json(tmp_path / "scores.json", {"num_blocks": 3, "block_size": 8})
    with pytest.raises(ScoreStoreError, match=r"this version .*shard_blocks"):
        TokenScores(tmp_path)
