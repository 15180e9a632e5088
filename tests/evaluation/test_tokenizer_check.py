"""An engine that would read or write text otherwise than training is refused, with the first difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from model_zoo import TOKENIZERS, write_family

from rho1bench.errors import CheckpointError
from rho1bench.evaluation.checkpoints import Checkpoint
from rho1bench.evaluation.engines.codec import Codec
from rho1bench.evaluation.tokenizer_check import check_tokenizer


def checkpoint(
    root: Path, family: str, *, trained_here: bool, model_type: str = "llama", **settings: Any
) -> Checkpoint:
    folder = root / "slm" / "checkpoint"
    write_family(family, folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "vocab_size": 420}))
    if trained_here:
        (root / "slm" / "training.json").write_text("{}")
    return Checkpoint("slm", folder, "slm")


@pytest.mark.parametrize("family", TOKENIZERS)
@pytest.mark.parametrize("trained_here", [True, False])
def test_what_agrees_is_let_through(family: str, trained_here: bool, tmp_path: Path):
    found = checkpoint(tmp_path, family, trained_here=trained_here and family not in ("wordpiece", "no special tokens"))
    check_tokenizer(found)


@pytest.mark.parametrize("trained_here", [True, False])
def test_a_class_with_rules_of_its_own_is_refused(trained_here: bool, tmp_path: Path):
    settings = {"tokenizer_class": "LlamaTokenizerFast"}
    found = checkpoint(tmp_path, "byte-level with bos", trained_here=trained_here, **settings)
    with pytest.raises(CheckpointError, match=r"training.*LlamaTokenizer.*PreTrainedTokenizerFast"):
        check_tokenizer(found)


def test_a_mark_of_the_dialogue_as_special_token_is_refused_only_where_training_read_letters(tmp_path: Path):
    settings = {"extra_special_tokens": ["<|user|>"]}
    found = checkpoint(tmp_path, "byte-level with bos", trained_here=False, **settings)
    check_tokenizer(found)
    (found.folder.parent / "training.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"'<\|user\|>\\n' has the token ids .*400.* at inference"):
        check_tokenizer(found)


def test_another_start_token_is_refused(tmp_path: Path):
    found = checkpoint(
        tmp_path, "byte-level with bos", trained_here=True, model_type="gpt_neox", tokenizer_class="GPTNeoXTokenizer"
    )
    with pytest.raises(CheckpointError, match=r"at inference \(GPTNeoXTokenizer\), \[0, .* in training"):
        check_tokenizer(found)


def test_checkpoints_along_the_way_count_as_trained_here(tmp_path: Path):
    (tmp_path / "slm" / "checkpoints" / "step-000010").mkdir(parents=True)
    folders = [tmp_path / "slm" / "checkpoint", tmp_path / "slm" / "checkpoints" / "step-000010", tmp_path / "other"]
    assert not any(Checkpoint("x", folder, "x").trained_here for folder in folders)
    (tmp_path / "slm" / "training.json").write_text("{}")
    assert [Checkpoint("x", folder, "x").trained_here for folder in folders] == [True, True, False]


def test_a_tokenizer_that_cannot_be_loaded_is_one_message(tmp_path: Path):
    found = checkpoint(tmp_path, "gpt2", trained_here=False)
    (found.folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="the tokenizer cannot be loaded"):
        check_tokenizer(found)


def test_a_class_that_cannot_read_is_one_message(tmp_path: Path):
    found = checkpoint(tmp_path, "gpt2", trained_here=False, tokenizer_class="BertTokenizerFast")
    with pytest.raises(CheckpointError, match=r"the tokenizer cannot be (used|loaded)"):
        check_tokenizer(found)


def test_a_class_that_writes_other_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = checkpoint(tmp_path, "byte-level with bos", trained_here=False)
    decode = Codec.decode
    monkeypatch.setattr(Codec, "decode", lambda self, ids: decode(self, ids).replace(" ", ""))
    with pytest.raises(CheckpointError, match=r"'The cat sat on.*the engine writes 'Thecatsaton"):
        check_tokenizer(found)
