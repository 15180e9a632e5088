"""Rules at work in training: weights, named stores, documents, schedules, an earlier self."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import world
from rule_packages import CAUTIOUS, write_package
from torch.distributed.checkpoint.state_dict_loader import load

from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.tokenizer import special_tokens
from rho1bench.errors import TrainingError
from rho1bench.modeling.causal_lm import load_model, weights_sha256
from rho1bench.recipe import Recipe
from rho1bench.selection import score_functions
from rho1bench.selection.block_reader import BlockReader
from rho1bench.selection.score_functions import ScoreFunction
from rho1bench.selection.score_store import TokenScores
from rho1bench.system.files import read_json, read_jsonl
from rho1bench.training.callbacks import StageCallback

BASE_SCORES = {"name": "base_scores", "kind": "score", "reference": "base", "corpus": "web", "batch_size": 16}
STORES = {"reference": "scores", "base": "base_scores"}
SHORT: dict[str, Any] = {"max_steps": 3, "logging_steps": 1, "save_steps": 2}


@pytest.fixture(scope="module")
def out(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared stages, and the base model's own scores."""
    folder = world.link_shared(shared, tmp_path_factory.mktemp("rules"))
    world.run_stages([*world.scored(), BASE_SCORES], folder, only=["base_scores"])
    return folder


def run(out: Path, *stages: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Train the stages; return the rows of each."""
    world.run_stages([*world.scored(), BASE_SCORES, *stages], out, only=[stage["name"] for stage in stages])
    return [read_jsonl(out / stage["name"] / "metrics.jsonl") for stage in stages]


@pytest.mark.parametrize(
    "selection",
    [
        {"score": "soft_excess_loss", "token_scores": "scores", "parameters": {"temperature": 0.5}},
        {"score": "entropy_weight"},
        {"score": "document_excess_loss", "ratio": 0.5, "token_scores": STORES, "scope": "document"},
        {"score": "self_gain", "ratio": 0.5, "moving_average": 0.9},
    ],
    ids=lambda selection: selection["score"],
)
def test_one_batch_is_many_micro_batches(out: Path, selection: dict[str, Any]) -> None:
    name = selection["score"]
    stages = [
        world.pretrain(f"{name}_whole", selection=selection, **SHORT),
        world.pretrain(f"{name}_split", selection=selection, micro_batch_size=2, **SHORT),
    ]
    whole, split = run(out, *stages)
    assert len(whole) == len(split) == 3
    for one, other in zip(whole, split, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["selected_tokens"] == other["selected_tokens"]
        if "ratio" not in selection:
            assert one["select_ratio"] == 1.0
            assert 0.3 < one["effective_ratio"] < 1.0
            assert one["threshold"] is None
            assert one["effective_ratio"] == pytest.approx(other["effective_ratio"], rel=1e-4)
            assert one["loss_selected"] == pytest.approx(one["loss_all"], rel=1e-9)
            assert one["loss"] != one["loss_all"]
        elif "moving_average" in selection:
            # The first step's learning rate is 0, so that the model is its own past twice.
            assert (one["threshold"] == 0.0) == (one["step"] < 3)
            assert one["select_ratio"] == int(0.5 * 8 * 47) / (8 * 47)
    first = torch.stack([load_model(out / f"{name}_{kind}/checkpoint").lm_head.weight for kind in ("whole", "split")])
    assert float((first[0] - first[1]).detach().abs().max()) < 2e-4
    weights = [row.get("weights") for row in read_jsonl(out / f"{name}_whole/selected_tokens.jsonl")]
    assert all((values is None) == ("ratio" in selection) for values in weights)


def made_of(compute: Any, name: str, gives: Any) -> ScoreFunction:
    return ScoreFunction(name, compute, ("block_positions",), gives)


def test_weights_of_zero_and_one_are_a_selection_to_the_last_bit(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    even = lambda given: (given["block_positions"] % 2 == 0).float()  # noqa: E731
    rules = {
        "probability_weight": made_of(even, "probability_weight", "weights"),
        "training_loss": made_of(even, "training_loss", "scores"),
        "entropy_weight": made_of(lambda given: torch.ones_like(given["block_positions"]), "entropy_weight", "weights"),
    }
    monkeypatch.setattr(score_functions, "_SCORE_FUNCTIONS", {**score_functions._SCORE_FUNCTIONS, **rules})
    # 23 of 47 positions are even.
    chosen = {"score": "training_loss", "ratio": 0.49, "scope": "sequence"}
    found = run(
        out,
        world.pretrain("zero_one", selection={"score": "probability_weight"}, **SHORT),
        world.pretrain("chosen", selection=chosen, **SHORT),
        world.pretrain("ones", selection={"score": "entropy_weight"}, **SHORT),
        world.pretrain("plain", **SHORT),
    )
    for one, other in (("zero_one", "chosen"), ("ones", "plain")):
        assert weights_sha256(out / one / "checkpoint") == weights_sha256(out / other / "checkpoint")
    for one, other in ((found[0], found[1]), (found[2], found[3])):
        for key in ("loss", "loss_all", "selected_tokens", "select_ratio", "grad_norm"):
            assert [row[key] for row in one] == [row[key] for row in other]
    assert [row["effective_ratio"] for row in found[0]] == pytest.approx([row["select_ratio"] for row in found[1]])


def test_ratios_follow_their_schedule(out: Path) -> None:
    common: dict[str, Any] = {"score": "reference_loss", "token_scores": "scores"}
    later = {"schedule": "full_then", "steps": 1, "ratio": 0.5}
    linear = {"schedule": "linear", "start": 1.0, "end": 0.5}
    rows = run(
        out,
        world.pretrain("later", selection={**common, "ratio": later}, **SHORT),
        world.pretrain("linear", selection={**common, "ratio": linear}, micro_batch_size=4, **SHORT),
    )
    total = 8 * 47
    for found, shares in zip(rows, [(1.0, 0.5, 0.5), (1.0, 0.75, 0.5)], strict=True):
        assert [row["select_ratio"] for row in found] == [int(share * total) / total for share in shares]
        assert [row["loss_unselected"] is None for row in found] == [share == 1.0 for share in shares]
    assert read_json(out / "later/training.json")["select_ratio"] is None


def test_documents_end_where_packing_has_ended_them(out: Path) -> None:
    corpus, eos = PackedCorpus(out / "web"), special_tokens(out / "tokens/tokenizer").eos
    reader = BlockReader(corpus, ["document_ids", "document_positions", "base.losses"], {}, eos)
    blocks = [block for block in range(len(corpus)) if eos in corpus.block(block)[5:-5]][:2]
    batch = reader.batch(blocks, [10, 11])
    assert "base.losses" not in batch["inputs"]
    for row, (block, sample) in enumerate(zip(blocks, [10, 11], strict=True)):
        tokens, numbers, places, expected = corpus.block(block).tolist(), [], [], sample * 48
        place = 0
        for token in tokens:
            numbers.append(expected)
            places.append(place)
            place += 1
            if token == eos:
                expected, place = expected + 1, 0
        assert batch["inputs"]["document_ids"][row].tolist() == numbers[1:]
        assert batch["inputs"]["document_positions"][row].tolist() == places[1:]
    assert batch["inputs"]["document_ids"].unique().numel() > 2


def test_ranks_are_those_of_the_whole_store(out: Path) -> None:
    store = TokenScores(out / "scores")
    every = np.concatenate([store.block(block)[1:, 0] for block in range(len(store))])
    for block in (0, len(store) - 1):
        losses, ranks = store.block(block)[1:, 0], store.values(block, "loss_ranks")
        assert np.isnan(ranks[0])
        for loss, rank in list(zip(losses, ranks[1:], strict=True))[:9]:
            expected = ((every < loss).mean() + (every <= loss).mean()) / 2
            assert rank == pytest.approx(expected, abs=1e-6)


class Stopped(Exception):
    pass


def test_an_earlier_self_survives_a_kill(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection = {"score": "reversed_self_gain", "ratio": 0.5, "moving_average": 0.75}
    straight = world.pretrain("straight", selection=selection, **SHORT)
    killed = world.pretrain("killed", selection=selection, num_checkpoints=2, **SHORT)
    run(out, straight)

    def stop(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 2:
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(StageCallback, "on_step_begin", stop)
        with pytest.raises(Stopped):
            run(out, killed)
    expected = load_model(out / "base/checkpoint").state_dict()
    kept = {name: torch.zeros_like(value) for name, value in expected.items()}
    load({"average": kept}, checkpoint_id=out / "killed/trainer/checkpoint-2/tensors", no_dist=True)
    for step in (1, 2):
        weights = load_model(out / f"killed/checkpoints/step-{step:06d}").state_dict()
        expected = {name: 0.75 * expected[name] + 0.25 * weights[name] for name in kept}
    assert len(kept) > 10
    for name, average in kept.items():
        torch.testing.assert_close(average, expected[name], rtol=1e-6, atol=1e-7)
    run(out, killed)
    assert weights_sha256(out / "killed/checkpoint") == weights_sha256(out / "straight/checkpoint")


def test_an_average_that_does_not_move_is_the_base_scored_once(out: Path) -> None:
    """``h`` of a moving average that stays at the start, and of a stored snapshot of the start, choose alike."""
    still = {"score": "self_gain", "ratio": 0.5, "moving_average": 1.0 - 1e-12}
    stored = {"score": "self_gain", "ratio": 0.5, "token_scores": {"earlier": "base_scores"}}
    one, other = run(
        out, world.pretrain("still", selection=still, **SHORT), world.pretrain("stored", selection=stored, **SHORT)
    )
    # A store keeps eleven bits of a loss, so single tokens near the threshold differ; in the first step h = l.
    for here, there in list(zip(one, other, strict=True))[1:]:
        assert here["loss_selected"] == pytest.approx(there["loss_selected"], abs=0.03)
        assert here["threshold"] == pytest.approx(there["threshold"], abs=0.01)


@pytest.mark.parametrize(
    "selection",
    [
        {"score": "probability_weight"},
        {"score": "self_gain", "ratio": 0.5, "moving_average": 0.9},
        {"score": "middle_reference_loss", "ratio": 0.5, "scope": "document"},
    ],
    ids=lambda selection: selection["score"],
)
def test_rules_in_fine_tuning(out: Path, selection: dict[str, Any]) -> None:
    name = f"sft_{selection['score']}"
    (rows,) = run(
        out, world.sft(name, "base", selection=selection, reference="reference", max_steps=2, logging_steps=1)
    )
    for row in rows:
        weighted = "ratio" not in selection
        assert row["select_ratio"] == (1.0 if weighted else pytest.approx(0.5, abs=0.02))
        assert ("effective_ratio" in row) == weighted


def test_a_rule_of_another_package_trains(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_functions, "_SCORE_FUNCTIONS", dict(score_functions._SCORE_FUNCTIONS))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(write_package(tmp_path, "careful", "cautious=cautious", CAUTIOUS)))
    store = TokenScores(out / "base_scores")
    middle = float(np.median([store.block(block)[1:, 1] for block in range(len(store))]))
    halved = {"score": "cautious", "parameters": {"threshold": middle, "beyond": "halve"}}
    dropped = {"score": "cautious", "parameters": {"threshold": middle}}
    half, drop = run(
        out, world.pretrain("halved", selection=halved, **SHORT), world.pretrain("dropped", selection=dropped, **SHORT)
    )
    share = drop[0]["select_ratio"]  # of tokens of which the base model is sure enough
    assert 0.1 < share < 0.9
    assert drop[0]["effective_ratio"] == pytest.approx(share)
    assert half[0]["select_ratio"] == 1.0
    weights, squares = share + 0.5 * (1 - share), share + 0.25 * (1 - share)
    assert half[0]["effective_ratio"] == pytest.approx(weights**2 / squares)


def test_all_weights_zero_stop_training(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = made_of(lambda given: torch.zeros_like(given["block_positions"]), "probability_weight", "weights")
    rules = {**score_functions._SCORE_FUNCTIONS, "probability_weight": none}
    monkeypatch.setattr(score_functions, "_SCORE_FUNCTIONS", rules)
    with pytest.raises(TrainingError, match="step 1: the loss is None"):
        run(out, world.pretrain("nothing", selection={"score": "probability_weight"}, **SHORT))


def test_a_mapping_of_stores_names_the_stages_that_are_read() -> None:
    from rho1bench.recipe.models.base import references

    stage = world.pretrain("both", selection={"score": "base_excess_loss", "ratio": 0.5, "token_scores": STORES})
    recipe = Recipe.model_validate({"name": "tiny", "stages": [*world.scored(), BASE_SCORES, stage]})
    found = [(path, name) for path, name, _ in references(recipe.stage("both")) if "token_scores" in path]
    assert found == [("selection.token_scores.reference", "scores"), ("selection.token_scores.base", "base_scores")]
