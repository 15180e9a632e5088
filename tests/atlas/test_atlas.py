"""The atlas of a tiny run: its numbers are those of the models, its ranks those of selection; and its text whole."""

from __future__ import annotations

import base64
import gzip
import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from rho1bench.analysis.checkpoint_scores import checkpoint_scores
from rho1bench.atlas import text as atlas_text
from rho1bench.atlas.columns import NONE, percents, steps
from rho1bench.atlas.request import RuleUse, request_of_run
from rho1bench.atlas.stage import run_atlas
from rho1bench.atlas.text import choose_blocks
from rho1bench.cli.app import app
from rho1bench.corpus.packed_corpus import PackedCorpus
from rho1bench.corpus.tokenizer import load_raw_tokenizer
from rho1bench.errors import DataError, UserError
from rho1bench.pipeline.stage import RunOptions, StageContext
from rho1bench.recipe import Recipe
from rho1bench.selection.score_store import TokenScores
from rho1bench.selection.top_k import top_k
from rho1bench.system.progress import SilentProgress

MODEL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
SOURCE = {"type": "mini_world", "text": "web", "num_documents": 40}
TRAIN = {"kind": "pretrain", "corpus": "web", "optimizer": {"learning_rate": 0.003}, "batch_size": 4, "max_steps": 2}
RECIPE = {
    "name": "tiny",
    "stages": [
        {"name": "tokens", "kind": "tokenizer", "vocab_size": 320, "sources": [SOURCE]},
        {"name": "web", "kind": "corpus", "tokenizer": "tokens", "block_size": 32, "num_blocks": 60}
        | {"sources": [SOURCE]},
        {**TRAIN, "name": "base", "init": {**MODEL, "max_position_embeddings": 64}},
        {"name": "scores", "kind": "score", "reference": "base", "corpus": "web"},
        {
            **TRAIN,
            "name": "slm",
            "init": "base",
            "num_checkpoints": 1,
            "selection": {"score": "sampled_excess_loss", "ratio": 0.4, "token_scores": "scores"},
        },
        {"name": "atlas", "kind": "atlas", "corpus": "web", "checkpoints": ["slm"], "token_scores": "scores"},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its recipe; the stage ``atlas`` too."""
    out = tmp_path_factory.mktemp("run")
    recipe = Recipe.model_validate(RECIPE)
    (out / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    folders = {stage.name: out / "stages" / stage.name for stage in recipe.stages}
    for stage in recipe.stages:
        folders[stage.name].mkdir(parents=True)
        context = StageContext(recipe, stage, folders[stage.name], folders, 0, SilentProgress(), RunOptions(None, 1))
        module, _, entry = stage.spec.entry.partition(":")
        getattr(importlib.import_module(module), entry)(context)
    return out


def index_of(page: Path) -> dict[str, Any]:
    text = re.findall(r'<script id="index"[^>]*>([^<]*)<', page.read_text())[0]
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(text)))
    return found


def column(page: Path, name: str) -> np.ndarray:
    """All bytes of a column; the atlas is smaller than two chunks."""
    text = (page.parent / f"{page.stem}_files" / f"{name}-0.js").read_text()
    return np.frombuffer(gzip.decompress(base64.b64decode(re.findall(r'"([^"]+)"', text)[1])), dtype=np.uint8)


def number_of(index: dict[str, Any], kind: str, of: str, at: str = "") -> int:
    found = [(one["kind"], one["of"], one["at"]) for one in index["columns"]]
    return found.index((kind, of, at))


def test_ranks_are_hundredths_and_steps_are_finer_for_small_numbers() -> None:
    scores = np.array([9.0, 0.5, 3.0, np.nan, 0.5, 7.0], dtype=np.float32)
    eligible = np.array([False, True, True, True, True, True])
    assert percents(scores, eligible).tolist() == [NONE, 40, 20, 80, 60, 0]
    values = np.array([np.nan, 0.0, 1.0, 4.0, 9.0], dtype=np.float32)
    codes = steps(values, 9.0)
    assert codes.tolist() == [NONE, 0, 85, 169, 254]
    assert 9.0 * (codes[1:] / 254) ** 2 == pytest.approx(values[1:], abs=0.02)


def test_blocks_are_spread_in_stretches_without_doubles() -> None:
    assert choose_blocks(5, 9) == [0, 1, 2, 3, 4]
    for num_blocks, wanted in ((7800, 6553), (100, 99), (1000, 40), (64, 3), (10, 1)):
        found = choose_blocks(num_blocks, wanted)
        assert found == sorted(set(found))
        assert 0.9 * wanted <= len(found) <= wanted
        assert found[0] == 0
        assert found[-1] < num_blocks


def test_the_text_is_the_corpus_document_by_document(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas_text, "LONGEST", 50)
    corpus = PackedCorpus(tiny / "stages/web")
    tokenizer = load_raw_tokenizer(tiny / "stages/tokens/tokenizer")
    eos = tokenizer.token_to_id("</s>")
    found = atlas_text.read_text(corpus, 10**6, eos)
    stream = np.concatenate([corpus.block(block) for block in range(len(corpus))])
    assert found.ids_BT.ravel().tolist() == stream.tolist()
    assert int(found.lengths.sum()) == len(stream)
    assert int(found.lengths.max()) == 50
    whole = np.flatnonzero(np.diff(found.numbers, prepend=-1))
    assert {int(token) for token in stream[found.starts[whole][1:] - 1]} == {eos}
    assert int(found.numbers[-1]) == (stream[:-1] == eos).sum()
    few = atlas_text.read_text(corpus, 320, eos)
    assert few.num_tokens <= 320
    assert all(start in few.starts for start in range(0, few.num_tokens, 32)), "blocks that are not neighbours"


def test_numbers_are_the_models_and_ranks_are_those_of_selection(tiny: Path) -> None:
    page = tiny / "pages/atlas.html"
    request = request_of_run(tiny, None, ["base", "slm", "slm@1"], ["excess_loss", "reference_loss"], 10**6, 16)
    facts = run_atlas(page, request, "An atlas")
    index = index_of(page)
    assert index["checkpoints"] == ["base", "slm", "slm@1"]
    assert facts.num_tokens == sum(index["lengths"]) == 60 * 32
    corpus, store = PackedCorpus(tiny / "stages/web"), TokenScores(tiny / "stages/scores")
    own = checkpoint_scores(tiny / "stages/slm/checkpoint", corpus, range(len(corpus)))
    number = number_of(index, "loss", "slm")
    codes, top = column(page, f"v{number}").reshape(60, 32), index["columns"][number]["top"]
    assert (codes[:, 0] == NONE).all()
    assert top * (codes[:, 1:] / 254.0) ** 2 == pytest.approx(own[:, 1:, 0], abs=np.sqrt(top) * 0.01)
    reference = torch.from_numpy(np.stack([store.block(block) for block in range(60)]))[:, 1:, 0]
    losses = torch.from_numpy(own[:, 1:, 0])
    for rule, at, scores in (("excess_loss", "slm", losses - reference), ("reference_loss", "", -reference)):
        ranks = column(page, f"v{number_of(index, 'rank', rule, at)}").reshape(60, 32)[:, 1:]
        chosen = top_k(scores, torch.ones_like(scores, dtype=torch.bool), 0.6, "global").numpy()
        assert int((chosen != (ranks < 60)).sum()) <= 1
        assert 0.5 < chosen.mean() < 0.61


def test_the_stage_and_the_command_choose_the_runs_own_rules(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(tiny / "stages/atlas/publish/atlas.html")
    assert [one["of"] for one in index["columns"] if one["kind"] == "rank"] == [
        "excess_loss",
        "reference_loss",
        "reference_entropy",
        "training_loss",
    ]
    found = request_of_run(tiny, None, (), (), 640, 8)
    assert (list(found.checkpoints), found.ratio) == (["base", "slm"], 0.4)
    assert found.further_rules[0] == RuleUse("sampled_excess_loss")
    assert len(found.further_rules) == 5
    app(["atlas", str(tiny), "--tokens", "320", "--checkpoint", "slm@1"], standalone_mode=False)
    assert index_of(tiny / "atlas.html")["checkpoints"] == ["slm@1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["slm@7"]}, r"has no checkpoint 'slm@7'. Checkpoints: base, slm; along the way of slm: @1"),
        ({"labels": ["../web"]}, "has no checkpoint"),
        ({"rules": ["best"]}, "--rule best: expected one of"),
        ({"rules": ["base_excess_loss"]}, r"reads base.losses, and the run has no such stored scores of 'web'"),
        ({"corpus": "books"}, "no stage of this run trains on a corpus 'books'. Corpora that stages train on: web"),
        ({"run": Path("nowhere")}, "is no run folder"),
    ],
)
def test_what_a_run_has_not_is_said(tiny: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    asked = {"run": tiny, "corpus": None, "labels": ["slm"], "rules": [], "num_tokens": 320, "batch_size": 8} | change
    with pytest.raises(UserError, match=message):
        run_atlas(tmp_path / "atlas.html", request_of_run(**asked), "An atlas")
    assert not (tmp_path / "atlas.html").exists()


def test_a_run_of_seeds_is_asked_which(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | {"seeds": [3, 4]}))
    with pytest.raises(DataError, match=r"Name one: .*/seed-3"):
        request_of_run(tmp_path, None, (), (), 10, 1)
