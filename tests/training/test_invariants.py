"""Settings that must give one trajectory, and what a run must look like (selection, order, metrics, resuming)."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import world
from forking import ForkingProcess

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.errors import CheckpointError, ScoreStoreError, TrainingError
from rho1bench.modeling.causal_lm import load_model, size_of_model, weights_sha256
from rho1bench.selection import stage as scoring
from rho1bench.selection.score_store import TokenScores
from rho1bench.sizing.cost import Cost
from rho1bench.sizing.flops import Work, flops_of
from rho1bench.system.files import read_json, read_jsonl, sha256_file, write_json

TIMES = ("tokens_per_second", "pre_pass_seconds")


def metrics(folder: Path, timed: bool = False) -> list[dict[str, Any]]:
    rows = read_jsonl(folder / "metrics.jsonl")
    return rows if timed else [{key: row[key] for key in row if key not in TIMES} for row in rows]


def logged(folder: Path, key: str) -> list[float]:
    return [row[key] for row in metrics(folder) if "max_steps" in row]


def largest_difference(first: Path, second: Path) -> float:
    a, b = load_model(first / "checkpoint"), load_model(second / "checkpoint")
    return max(float((x - y).detach().abs().max()) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_ratio_one_is_clm_to_the_last_bit(run: Path) -> None:
    assert weights_sha256(run / "slm_full/checkpoint") == weights_sha256(run / "clm_alone/checkpoint")
    assert metrics(run / "slm_full") == metrics(run / "clm_alone")
    assert weights_sha256(run / "slm/checkpoint") != weights_sha256(run / "clm/checkpoint")


def test_monitor_and_validation_change_nothing_in_training(run: Path) -> None:
    assert weights_sha256(run / "clm/checkpoint") == weights_sha256(run / "clm_alone/checkpoint")
    assert logged(run / "clm", "loss") == logged(run / "clm_alone", "loss")


@pytest.mark.parametrize(("one", "many"), [("slm", "slm_accumulated"), ("clm", "clm_accumulated")])
def test_accumulation_is_one_large_batch(run: Path, one: str, many: str) -> None:
    # The sums run in another order, so the last bits differ; Adam's first steps enlarge that where gradients are tiny.
    assert largest_difference(run / one, run / many) < 2e-4
    assert logged(run / many, "loss") == pytest.approx(logged(run / one, "loss"), abs=2e-5)
    assert logged(run / many, "selected_tokens") == logged(run / one, "selected_tokens")


def test_slm_keeps_exactly_its_share_of_every_step(run: Path) -> None:
    per_step = int(0.6 * 8 * 47)
    assert logged(run / "slm", "selected_tokens") == [per_step * step for step in (2, 4, 6, 8, 10, 12)]
    assert logged(run / "slm", "tokens") == [8 * 48 * step for step in (2, 4, 6, 8, 10, 12)]
    for row in metrics(run / "slm"):
        if "max_steps" in row:
            assert row["loss"] == row["loss_selected"]
            mixed = row["select_ratio"] * row["loss_selected"] + (1 - row["select_ratio"]) * row["loss_unselected"]
            assert mixed == pytest.approx(row["loss_all"], abs=1e-9)


def test_clm_and_slm_share_data_steps_and_learning_rates(run: Path) -> None:
    for key in ("step", "tokens", "learning_rate", "max_steps"):
        assert logged(run / "slm", key) == logged(run / "clm", key)
    first_slm, first_clm = metrics(run / "slm")[0], metrics(run / "clm")[0]
    assert first_slm["validation_loss"] == first_clm["validation_loss"]
    # In the first step both models are the base model, so the same blocks give the same losses and the same ranking.
    out = {}
    for name, fields in {"a": {"selection": world.SELECTION}, "b": {"monitor": world.SELECTION}}.items():
        stages = [*world.scored(), world.pretrain(name, max_steps=1, logging_steps=1, **fields)]
        folder = run / f"first_{name}"
        folder.mkdir()
        for stage in world.scored():
            (folder / stage["name"]).symlink_to(run / stage["name"])
        world.run_stages(stages, folder, only=[name])
        (out[name],) = metrics(folder / name)
    for key in ("loss_all", "loss_selected", "loss_unselected"):
        assert out["a"][key] == pytest.approx(out["b"][key], abs=1e-6)


def test_metrics_and_training_json_have_the_agreed_keys(run: Path) -> None:
    keys = [
        "step", "max_steps", "tokens", "selected_tokens", "learning_rate", "loss", "loss_all", "loss_selected",
        "loss_unselected", "select_ratio", "threshold", "grad_norm", "flops", "tokens_per_second", "mfu",
    ]  # fmt: skip
    for row in metrics(run / "slm", timed=True) + metrics(run / "slm_sft", timed=True):
        assert list(row) in (keys, ["step", "tokens", "selected_tokens", "validation_loss"])
    assert [row["step"] for row in metrics(run / "slm") if "validation_loss" in row] == [0, 4, 8, 12]
    training = read_json(run / "slm/training.json")
    assert (training["tokens"], training["init"], training["select_ratio"]) == (12 * 8 * 48, "base", 0.6)
    assert list(training["seconds"]) == ["start", "first_step", "steps", "end"]
    assert all(seconds > 0 for seconds in training["seconds"].values())
    assert read_json(run / "clm_alone/training.json")["select_ratio"] == 1.0
    assert all(row["loss_unselected"] is None for row in metrics(run / "clm_alone"))
    assert metrics(run / "clm")[-2]["loss_unselected"] is not None
    assert not (run / "slm/trainer").exists()


def test_what_stages_took_is_what_they_did(run: Path) -> None:
    size = size_of_model(load_model(run / "slm/checkpoint"))
    steps, rows, tokens = 12, 8 * 47, 8 * 48
    kept = int(0.6 * rows)
    expected = {
        "clm": Work(tokens, rows),
        "slm": Work(tokens, kept, forward_rows=rows),
        "slm_accumulated": Work(tokens, kept, forward_tokens=tokens, forward_rows=tokens + rows - kept),
    }
    for name, work in expected.items():
        cost = Cost.model_validate(read_json(run / name / "training.json")["cost"])
        assert cost.flops == pytest.approx(steps * flops_of(size, 48, work))
        assert logged(run / name, "flops")[-1] == cost.flops
        assert cost.seconds > 0
        assert cost.hardware
    scoring = Cost.model_validate(read_json(run / "scores/scores.json")["cost"])
    num_blocks = len(PackedCorpus(run / "web"))
    assert scoring.flops == flops_of(size, 48, Work(forward_tokens=48 * num_blocks, forward_rows=47 * num_blocks))
    sft = read_json(run / "slm_sft/training.json")
    length = sft["tokens"] / (8 * 12)
    assert sft["cost"]["flops"] == pytest.approx(flops_of(size, length, Work(sft["tokens"], sft["tokens"])), rel=0.05)


def test_checkpoints_load_with_their_tokenizer(run: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert sorted(path.name for path in (run / "slm/checkpoints").iterdir()) == ["step-000004", "step-000008"]
    for folder in [run / "slm/checkpoint", run / "slm/checkpoints/step-000004", run / "slm_sft/checkpoint"]:
        model = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        inputs = tokenizer("Question: 1", return_tensors="pt")
        text = model.generate(**inputs, max_new_tokens=4, do_sample=False)
        assert text.shape[1] > inputs.input_ids.shape[1]
        assert model.config.use_cache
        assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert weights_sha256(run / "slm/checkpoints/step-000004") != weights_sha256(run / "slm/checkpoint")


def test_probe_shows_the_selection(run: Path) -> None:
    rows = read_jsonl(run / "slm/selected_tokens.jsonl")
    assert [row["step"] for row in rows] == [0] * 8 + [6] * 8 + [12] * 8
    assert len({row["block"] for row in rows}) == 8
    corpus = PackedCorpus(run / "web")
    for row in rows:
        lengths = {len(row[key]) for key in ("pieces", "selected", "loss", "reference_loss", "kinds")}
        assert lengths == {48}
        assert (row["selected"][0], row["loss"][0], row["reference_loss"][0]) == (0, None, None)
        assert row["kinds"] == corpus.kind_names(row["block"])
    for step in (0, 6, 12):
        assert sum(sum(row["selected"]) for row in rows if row["step"] == step) == int(0.6 * 8 * 47)
    assert {"math", "special"} < {kind for row in rows for kind in row["kinds"]}


def test_stored_scores_are_those_of_the_reference(run: Path) -> None:
    import torch

    store, corpus = TokenScores(run / "scores"), PackedCorpus(run / "web")
    store.check(corpus, weights_sha256(run / "reference/checkpoint"))
    model = load_model(run / "reference/checkpoint")
    for index in (0, 7, len(corpus) - 1):
        block = torch.from_numpy(corpus.block(index))
        with torch.no_grad():
            logits = model(input_ids=block.unsqueeze(0)).logits[0, :-1].double()
        log_probs = torch.log_softmax(logits, dim=1)
        losses = -log_probs.gather(1, block[1:].unsqueeze(1)).squeeze(1).numpy()
        entropies = -(log_probs.exp() * log_probs).sum(dim=1).numpy()
        scores = store.block(index)
        assert np.isnan(scores[0]).all()
        # Float16 keeps eleven bits.
        np.testing.assert_allclose(scores[1:, 0], losses, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(scores[1:, 1], entropies, rtol=1e-3, atol=1e-4)


def test_scoring_goes_on_with_the_missing_shard(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "ScoreOptions", partial(scoring.ScoreOptions, shard_tokens=20 * 48))
    out = world.link_shared(run, tmp_path)
    (out / "scores").unlink()
    world.run_stages(world.scored(), out, only=["scores"])
    shards = sorted((out / "scores").glob("scores-*.npy"))
    before = {path: (sha256_file(path), path.stat().st_mtime_ns) for path in shards}
    assert len(shards) > 2
    shards[1].unlink()
    (out / "scores/scores.json").unlink()
    world.run_stages(world.scored(), out, only=["scores"])
    for path, (sha256, mtime) in before.items():
        assert sha256_file(path) == sha256
        assert (path.stat().st_mtime_ns == mtime) == (path != shards[1])


def test_scores_of_another_corpus_are_refused_by_name(run: Path, tmp_path: Path) -> None:
    out = world.link_shared(run, tmp_path)
    stages = [*world.scored(), world.pretrain("wrong", corpus="clean", selection=world.SELECTION)]
    with pytest.raises(ScoreStoreError, match="corpus_fingerprint: the scores were made with") as caught:
        world.run_stages(stages, out, only=["wrong"])
    assert "num_blocks" in str(caught.value)
    assert "tokenizer_sha256" not in str(caught.value)
    corpus = PackedCorpus(run / "web")
    with pytest.raises(ScoreStoreError, match="reference_sha256"):
        TokenScores(run / "scores").check(corpus, "another")


def test_a_selection_by_entropy_refuses_scores_without_entropies(run: Path, tmp_path: Path) -> None:
    out = world.link_shared(run, tmp_path)
    (out / "scores").unlink()
    shutil.copytree(run / "scores", out / "scores")
    write_json(out / "scores/scores.json", read_json(run / "scores/scores.json") | {"has_entropy": False})
    by_entropy = world.SELECTION | {"score": "reference_entropy"}
    with pytest.raises(ScoreStoreError, match="no entropies, which the score 'reference_entropy' needs"):
        world.run_stages([*world.scored(), world.pretrain("e", selection=by_entropy)], out, only=["e"])


def test_a_model_of_another_tokenizer_is_refused(run: Path, tmp_path: Path) -> None:
    out = world.link_shared(run, tmp_path)
    (out / "base").unlink()
    shutil.copytree(run / "base", out / "base")
    tokenizer = out / "base/checkpoint/tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    with pytest.raises(CheckpointError, match="another tokenizer"):
        world.run_stages([*world.scored(), world.pretrain("refused")], out, only=["refused"])


def test_a_non_finite_loss_stops_before_the_optimizer(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rho1bench.training.trainers.selective import SelectiveTrainer

    def poisoned(self: Any, model: Any, inputs: Any, **kwargs: Any) -> Any:
        loss = original(self, model, inputs, **kwargs)
        if self.state.global_step == 6:
            self._sums[-1][0] = float("nan")
        return loss

    original = SelectiveTrainer.compute_loss
    monkeypatch.setattr(SelectiveTrainer, "compute_loss", poisoned)
    out = world.link_shared(run, tmp_path)
    skipping = {"max_steps": 7, "logging_steps": 1, "num_checkpoints": 6, "on_nonfinite": "skip"}
    world.run_stages([*world.scored(), world.pretrain("skipped", **skipping)], out, only=["skipped"])
    assert [row.get("skipped_steps", 0) for row in metrics(out / "skipped")] == [0, 0, 0, 0, 0, 0, 1]
    assert metrics(out / "skipped")[-1]["loss"] is None
    assert read_json(out / "skipped/training.json")["skipped_steps"] == 1
    before = weights_sha256(out / "skipped/checkpoints/step-000006")
    assert weights_sha256(out / "skipped/checkpoint") == before
    with pytest.raises(TrainingError, match="stage 'bad', step 7: the loss is nan"):
        world.run_stages([*world.scored(), world.pretrain("bad")], out, only=["bad"])
    assert [path.name for path in (out / "bad/trainer").iterdir()] == ["checkpoint-5"]
    assert metrics(out / "bad")[-1]["step"] == 6


@pytest.mark.parametrize(
    ("stage", "kills"),
    [
        ("slm", [(8, "step"), (1, "save")]),
        ("slm_sft", [(9, "step")]),
    ],
)
def test_killed_and_resumed_equals_straight(
    run: Path, forks: ForkingProcess, tmp_path: Path, stage: str, kills: list[tuple[int, str]]
) -> None:
    out = world.link_shared(run, tmp_path)
    (out / stage).unlink()
    for step, when in kills:
        assert forks.exit_code("kill_run", "run", out, stage, step, when) == -9
    assert not (out / stage / "training.json").exists()
    world.run_stages(world.compared(), out, only=[stage])
    assert weights_sha256(out / stage / "checkpoint") == weights_sha256(run / stage / "checkpoint")
    assert metrics(out / stage) == metrics(run / stage)
    for path in (run / stage).rglob("*"):
        if path.name in ("model.safetensors", "selected_tokens.jsonl", "config.json", "tokenizer.json"):
            assert sha256_file(out / stage / path.relative_to(run / stage)) == sha256_file(path), path
    before = json.dumps(read_json(out / stage / "training.json"))
    world.run_stages(world.compared(), out, only=[stage])
    assert json.dumps(read_json(out / stage / "training.json")) == before


def test_a_killed_stage_goes_on_with_other_operational_settings(
    run: Path, forks: ForkingProcess, tmp_path: Path
) -> None:
    out = world.link_shared(run, tmp_path)
    (out / "slm").unlink()
    assert forks.exit_code("kill_run", "run", out, "slm", 8, "step") == -9
    assert [path.name for path in (out / "slm/trainer").iterdir()] == ["checkpoint-5"]
    other = {"micro_batch_size": 2, "save_steps": 3, "logging_steps": 4, "gradient_checkpointing": True}
    stages = [stage | (other if stage["name"] == "slm" else {}) for stage in world.compared()]
    world.run_stages(stages, out, only=["slm"])
    assert largest_difference(out / "slm", run / "slm") < 2e-4  # as of accumulation
    assert logged(out / "slm", "tokens")[-1] == logged(run / "slm", "tokens")[-1]


def test_interrupted_after_the_last_step(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rho1bench.training import train_loop

    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    out = world.link_shared(run, tmp_path)
    (out / "slm").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(train_loop, "save_model", interrupted)
        with pytest.raises(KeyboardInterrupt):
            world.run_stages(world.compared(), out, only=["slm"])
    assert [path.name for path in (out / "slm/trainer").iterdir()] == ["checkpoint-10"]
    world.run_stages(world.compared(), out, only=["slm"])
    assert weights_sha256(out / "slm/checkpoint") == weights_sha256(run / "slm/checkpoint")
    assert metrics(out / "slm") == metrics(run / "slm")
