"""A pretrained tokenizer in place of one that is trained: Llama's kind (a beginning token), GPT-2's kind (none)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from corpus_runs import make_corpus, write_lines

from rho1bench.corpus import tokenizer
from rho1bench.corpus.tokenizer import load_raw_tokenizer, special_tokens, tokenizer_sha256, vocabulary_size
from rho1bench.errors import DataError, RecipeError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import Recipe
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.system.progress import SilentProgress


def take(place: str, folder: Path, **fields: Any) -> Path:
    stage = {"name": "tokens", "kind": "tokenizer", "pretrained": place, **fields}
    recipe = Recipe.model_validate({"name": "tokens", "stages": [stage]})
    tokenizer.run(StageContext(recipe, recipe.stages[0], folder, {}, 0, SilentProgress()))
    return folder / "tokenizer"


@pytest.fixture(scope="module")
def gpt2_like(tmp_path_factory: pytest.TempPathFactory, word_tokenizer: Path) -> Path:
    """One special token, which ends texts; nothing is put before them; with settings for padding and truncation."""
    from tokenizers import Tokenizer

    folder = tmp_path_factory.mktemp("gpt2_like")
    data = json.loads((word_tokenizer / "tokenizer" / "tokenizer.json").read_text())
    data["post_processor"] = None
    raw = Tokenizer.from_str(json.dumps(data))
    raw.enable_truncation(3)
    raw.enable_padding(length=20)
    raw.save(str(folder / "tokenizer.json"))
    eos = {"content": "</s>", "lstrip": False, "rstrip": False, "special": True, "__type": "AddedToken"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": eos, "bos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "model.safetensors").write_bytes(b"weights, which nobody copies")
    return folder


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "expected a JSON object"),
        ("\ufeff{}", "cannot be read as JSON"),
        ('{"eos_token": "</s>", "tokenizer_class": "BertTokenizerFast"}', "cannot be loaded"),
    ],
)
def test_settings_that_are_none_are_told(gpt2_like: Path, tmp_path: Path, settings: str, words: str) -> None:
    shutil.copytree(gpt2_like, tmp_path / "broken")
    (tmp_path / "broken" / "tokenizer_config.json").write_text(settings, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        take(str(tmp_path / "broken"), tmp_path / "taken")
    assert (tmp_path / "taken").exists() == ("Bert" in settings)


def test_nothing_of_a_torn_file_is_copied(gpt2_like: Path, tmp_path: Path) -> None:
    shutil.copytree(gpt2_like, tmp_path / "torn")
    file = tmp_path / "torn" / "tokenizer.json"
    file.write_text(file.read_text()[:400])
    with pytest.raises(DataError, match=r"torn/tokenizer\.json: the tokenizer cannot be loaded"):
        take(str(tmp_path / "torn"), tmp_path / "taken")
    assert not (tmp_path / "taken").exists()


def test_files_are_copied_as_they_are(word_tokenizer: Path, tmp_path: Path) -> None:
    taken = take(str(word_tokenizer / "tokenizer"), tmp_path)
    assert tokenizer_sha256(taken) == tokenizer_sha256(word_tokenizer / "tokenizer")
    special = special_tokens(taken)
    assert (special.begin, special.bos, special.eos, special.pad) == ((0,), 0, 1, 2)


def test_eos_parts_documents_where_nothing_begins_them(gpt2_like: Path, tmp_path: Path) -> None:
    taken = take(str(gpt2_like), tmp_path)
    assert sorted(path.name for path in taken.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    special = special_tokens(taken)
    assert (special.begin, special.bos, special.eos, special.pad) == ((), None, 1, 1)
    texts = ["word1 menu </s> about word2 word3", "menu"] * 20
    corpus = make_corpus(tmp_path, tmp_path / "corpus", [write_lines(tmp_path / "docs.jsonl", texts)])
    raw = load_raw_tokenizer(taken)
    expected: list[int] = []
    for text in texts:
        ids = raw.encode(text, add_special_tokens=False).ids
        assert 1 not in ids
        expected += [*ids, 1]
    assert corpus.blocks.rows(0, len(corpus)).reshape(-1).tolist() == expected[: len(corpus) * 32]


@pytest.mark.parametrize(("largest", "dtype"), [(2**16 - 1, "uint16"), (2**16, "uint32"), (70_001, "uint32")])
def test_few_tokens_with_large_ids_are_stored_whole(tmp_path: Path, largest: int, dtype: str) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    source = tmp_path / "sparse"
    source.mkdir()
    raw = Tokenizer(models.WordLevel({"</s>": 0, "[UNK]": 7, "word": largest}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.save(str(source / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "[UNK]"}
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    taken = take(str(source), tmp_path)
    assert vocabulary_size(taken) == largest + 1
    corpus = make_corpus(tmp_path, tmp_path / "corpus", [write_lines(tmp_path / "docs.jsonl", ["word menu"] * 20)])
    assert corpus.meta["vocab_size"] == largest + 1
    assert corpus.blocks.rows(0, 1).dtype == dtype
    assert corpus.block(0)[:6].tolist() == [largest, 7, 0] * 2


def test_what_cannot_serve_is_refused(gpt2_like: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "tokenizer.model").write_bytes(b"sentencepiece")
    with pytest.raises(DataError, match=r"has no tokenizer\.json. Only fast tokenizers serve"):
        take(str(slow), tmp_path / "a")
    endless = tmp_path / "endless"
    shutil.copytree(gpt2_like, endless)
    (endless / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with pytest.raises(DataError, match="no end-of-text token"):
        take(str(endless), tmp_path / "b")
    (endless / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be loaded"):
        take(str(endless), tmp_path / "c")
    with pytest.raises(DataError, match=r"nobody/nothing: the tokenizer cannot be fetched from the hub"):
        take("nobody/nothing", tmp_path / "d", revision="a" * 40)
    with pytest.raises(DataError, match="no such folder, and it is no hub id"):
        take("/no/such/folder", tmp_path / "e")


def hub_layout(source: Path, folder: Path, **settings: Any) -> Path:
    """GPT-2's files on the hub: the vocabulary and merges apart, special tokens known to the class alone."""
    model = json.loads((source / "tokenizer.json").read_text())["model"]
    vocabulary = {"<|endoftext|>" if token == "</s>" else token: number for token, number in model["vocab"].items()}
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    for name, values in settings.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {"config": {"model_type": "gpt2"}, "tokenizer_config": {"model_max_length": 1024}},
        {"tokenizer_config": {"tokenizer_class": "GPT2Tokenizer"}},
        {},
    ],
)
def test_the_layout_of_gpt2_is_converted(word_tokenizer: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    from transformers import GPT2Tokenizer

    source = hub_layout(word_tokenizer / "tokenizer", tmp_path / "hub", **settings)
    taken = take(str(source), tmp_path)
    special = special_tokens(taken)
    assert (special.begin, special.bos, special.eos, special.pad) == ((), 1, 1, 1)
    theirs = GPT2Tokenizer.from_pretrained(source)
    for text in ("word12 menu about 3+4", "größe\n 北京  x", "don't"):
        assert load_raw_tokenizer(taken).encode(text, add_special_tokens=False).ids == theirs(text).input_ids
    assert vocabulary_size(taken) == len(theirs) == 268


def test_settings_that_leave_the_end_token_to_the_class(word_tokenizer: Path, tmp_path: Path) -> None:
    """The tokenizer.json beside them stays as it is, byte for byte."""
    parts = hub_layout(word_tokenizer / "tokenizer", tmp_path / "parts")
    source = take(str(parts), tmp_path / "whole")
    (source / "tokenizer_config.json").write_text('{"model_max_length": 1024}')
    (source / "config.json").write_text('{"model_type": "gpt2"}')
    taken = take(str(source), tmp_path)
    assert tokenizer_sha256(taken) == tokenizer_sha256(source)
    assert special_tokens(taken).eos == 1
    assert not (taken / "config.json").exists()


def changed(source: Path, folder: Path, settings: dict[str, Any], *added: str, template: str | None = None) -> Path:
    """A copy with other settings, more special tokens, or another template around a text."""
    from tokenizers import Tokenizer, processors

    folder.mkdir()
    raw = Tokenizer.from_file(str(source / "tokenizer.json"))
    raw.add_special_tokens(list(added))
    if template is not None:
        raw.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("</s>", 1)])
    raw.save(str(folder / "tokenizer.json"))
    plain = json.loads((source / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(plain | settings))
    return folder


ONE_TOKEN = {"bos_token": "</s>", "eos_token": "</s>"}
DISAGREEMENTS: dict[str, tuple[dict[str, Any], list[str], str | None, str]] = {
    "a special token of the prompt": ({}, ["<|user|>"], None, r"'<\|user\|>\\n' has the token ids \[0, 268, \d+\] at"),
    "one of the settings": ({"additional_special_tokens": ["```"]}, [], None, r"'```python\\n' has the token ids"),
    "a class of another kind": ({"tokenizer_class": "LlamaTokenizerFast"}, [], None, r"inference \(LlamaTokenizer\)"),
    "an end token after prompts": (ONE_TOKEN, [], "</s> $A </s>", r"\[1, .*, 1\] at inference .*\d\d\] in training"),
}


@pytest.mark.parametrize("name", list(DISAGREEMENTS))
def test_what_training_and_inference_read_differently_is_refused(
    word_tokenizer: Path, tmp_path: Path, name: str
) -> None:
    settings, added, template, words = DISAGREEMENTS[name]
    source = changed(word_tokenizer / "tokenizer", tmp_path / "source", settings, *added, template=template)
    with pytest.raises(DataError, match=r"would read text differently\. .*" + words):
        take(str(source), tmp_path)


def test_one_token_that_begins_and_ends_is_put_once_at_either_side(word_tokenizer: Path, tmp_path: Path) -> None:
    source = changed(word_tokenizer / "tokenizer", tmp_path / "source", ONE_TOKEN, template="</s> $A")
    taken = take(str(source), tmp_path)
    assert special_tokens(taken).begin == (1,)
    both = changed(word_tokenizer / "tokenizer", tmp_path / "both", ONE_TOKEN, template="</s> $A </s>")
    assert special_tokens(both).begin == (1,)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("kind: tokenizer", "either sources and vocab_size, or pretrained"),
        ("kind: tokenizer, pretrained: a/b, vocab_size: 300", "either sources and vocab_size, or pretrained"),
        (
            "kind: corpus, tokenizer: t, block_size: 8, num_blocks: 1, num_tokens: 8, "
            "sources: [{type: hub, dataset: d}]",
            "num_blocks or num_tokens, not both",
        ),
        (
            "kind: corpus, tokenizer: t, block_size: 8, "
            "sources: [{type: hub, dataset: d, weight: 1}, {type: local, path: p}]",
            "give every source a weight, or none",
        ),
    ],
)
def test_recipes_that_do_not_say_one_thing(tmp_path: Path, stage: str, words: str) -> None:
    first = "{name: t, kind: tokenizer, pretrained: a/b}"
    (tmp_path / "r.yaml").write_text(f"name: r\nstages:\n  - {first}\n  - {{name: s, {stage}}}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "r.yaml")
    assert words in str(caught.value)
    assert "stages.s" in str(caught.value)
