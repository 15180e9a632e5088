"""Scoring a packed corpus: the same store whatever befalls it, and a clear word for what does not fit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import ForkingProcess
from small_server import Reply, small_server

from rho1bench.corpus.packed_corpus import PackedCorpus, shard_name
from rho1bench.corpus.stage import save_array
from rho1bench.corpus.tokenizer import tokenizer_sha256, train_tokenizer, write_tokenizer
from rho1bench.errors import CheckpointError, EngineError, RunError, ScoreStoreError
from rho1bench.pipeline.decision import decide
from rho1bench.pipeline.fingerprint import stage_fingerprint
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import Recipe
from rho1bench.selection import stage as scoring
from rho1bench.selection.local_reference import LocalReference
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.stage import ScoreOptions, run_score, score
from rho1bench.system import openai_client
from rho1bench.system.files import read_json, sha256_file, sha256_json, write_json
from rho1bench.system.paths import PACKAGE
from rho1bench.system.progress import SilentProgress

BLOCKS, SIZE, VOCABULARY = 22, 16, 320
NUM_SHARDS = 6
"""Of four blocks, the last of two."""


def write_corpus(folder: Path, tokenizer: Path, **more: Any) -> Path:
    rows = np.random.default_rng(1).integers(0, VOCABULARY, (BLOCKS, SIZE)).astype(np.uint16)
    save_array(folder / shard_name("blocks", 0), rows)
    meta = {"num_blocks": BLOCKS, "block_size": SIZE, "shard_blocks": BLOCKS, "vocab_size": VOCABULARY}
    meta |= {"tokenizer_sha256": tokenizer_sha256(tokenizer), "fingerprint": "the corpus of the tests"}
    write_json(folder / "corpus.json", meta | more)
    return folder


def write_model(folder: Path, seed: int, positions: int = 64) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(**shape, vocab_size=VOCABULARY, max_position_embeddings=positions, initializer_range=0.5)
    LlamaForCausalLM(config).save_pretrained(folder)
    write_tokenizer(train_tokenizer(iter(["one two three four five six " * 9] * 3), 280), folder)
    return folder


@dataclass(frozen=True)
class World:
    model: Path
    corpus: Path
    store: Path

    def options(self, output: Path, **more: Any) -> ScoreOptions:
        options = ScoreOptions(self.corpus, output, str(self.model), batch_size=3, shard_tokens=4 * SIZE, num_threads=1)
        return replace(options, **more)


@pytest.fixture(scope="module")
def world(forks: ForkingProcess, tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("scoring")
    model = write_model(root / "model", 0)
    made = World(model, write_corpus(root / "corpus", model), root / "store")
    score(made.options(made.store), SilentProgress())
    return made


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
        score(replace(served(world, tmp_path, "http://127.0.0.1:9/v1"), corpus=corpus), SilentProgress())


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


def logprobs(body: dict[str, Any]) -> Reply:
    """Log-probabilities that tell their token: minus its number in thousandths."""
    values = [None, *(-token / 1000 for token in body["prompt"][1:])]
    choice = {"index": 0, "text": "", "finish_reason": "length"}
    choice["logprobs"] = {"token_logprobs": values, "tokens": [""] * len(values), "top_logprobs": None}
    return 200, {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}


def served(world: World, output: Path, base_url: str) -> ScoreOptions:
    return world.options(output, reference=None, server=base_url, model="model")


def test_scores_from_a_server_have_losses_only(world: World, tmp_path: Path) -> None:
    with small_server(logprobs) as (base_url, asked):
        score(served(world, tmp_path, base_url), SilentProgress())
    store, corpus = TokenScores(tmp_path), PackedCorpus(world.corpus)
    assert len(asked) == BLOCKS
    assert {(body["model"], body["max_tokens"], body["echo"], body["logprobs"]) for body in asked} == {
        ("model", 0, True, 0)
    }
    for index in range(BLOCKS):
        np.testing.assert_allclose(store.block(index)[1:, 0], corpus.block(index)[1:] / 1000, rtol=1e-3)
        assert np.isnan(store.block(index)[:, 1]).all()
    assert (store.meta["reference"], store.meta["reference_sha256"]) == (f"model at {base_url}", None)
    with pytest.raises(ScoreStoreError, match=r"model at http.*no entropies.*'reference_entropy'"):
        store.check_entropies()
    TokenScores(world.store).check_entropies()


def test_a_server_that_stops_costs_no_finished_shard(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_client, "NUM_RETRIES", 0)
    monkeypatch.setattr(openai_client, "CONCURRENCY", 2)
    asked: list[Any] = []

    def failing(body: dict[str, Any]) -> Reply:
        asked.append(body["prompt"])
        return (500, {}) if 10 <= len(asked) < 13 else logprobs(body)

    with small_server(failing) as (base_url, _):
        with pytest.raises(EngineError, match="same command"):
            score(served(world, tmp_path, base_url), SilentProgress())
        kept = [path.name for path in tmp_path.glob("scores-*.npy")]
        assert len(kept) == 2
        assert not (tmp_path / "scores.json").exists()
        failing_calls = len(asked)
        asked.extend([None] * 3)
        score(served(world, tmp_path, base_url), SilentProgress())
    assert len(asked) - failing_calls - 3 == BLOCKS - 2 * 4
    finished = read_json(tmp_path / "scores.json")
    cost = finished.pop("cost")
    shards = {path.name: sha256_file(path) for path in tmp_path.glob("scores-*.npy")}
    assert finished == {**read_json(tmp_path / "scoring.json"), "sha256": shards}
    assert cost["flops"] is None  # of a model that nobody here knows
    assert cost["seconds"] > 0
    with pytest.raises(ScoreStoreError, match="reference_sha256"):
        score(world.options(tmp_path), SilentProgress())


def test_servers_that_cannot_score_get_a_clear_word(world: World, tmp_path: Path) -> None:
    silent = {"index": 0, "text": "", "finish_reason": "length", "logprobs": None}
    body = {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": [silent]}
    with small_server(lambda _: (200, body)) as (base_url, _):
        with pytest.raises(EngineError, match="gives 0 log-probabilities for a prompt of 16 tokens"):
            score(served(world, tmp_path, base_url), SilentProgress())
        with pytest.raises(EngineError, match="does not serve 'other'; it serves 'model'"):
            score(replace(served(world, tmp_path, base_url), model="other"), SilentProgress())
    models = {"object": "list", "data": [{"id": "model", "object": "model", "max_model_len": SIZE}]}
    with small_server(logprobs, models) as (base_url, _), pytest.raises(EngineError, match="--max-model-len 17"):
        score(served(world, tmp_path, base_url), SilentProgress())


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
