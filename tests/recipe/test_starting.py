"""``rho1bench init``, ``validate``, ``schema``: a first recipe that loads, and the reference of its keys."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import jsonschema
import pytest
from small_recipe import SMALL

from rho1bench.errors import RecipeError, RunError
from rho1bench.recipe.loading.file_schema import documented_keys, file_schema
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.recipe.loading.reference import reference
from rho1bench.recipe.loading.yaml_text import parse_yaml
from rho1bench.recipe.models.training import PretrainStage
from rho1bench.recipe.starter.start import write_recipe
from rho1bench.system.paths import recipes_dir


def valid(path: Path) -> None:
    """The file fits the schema beside it, which its first line names."""
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    schema = json.loads((path.parent / "recipe.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(parse_yaml(text))


@pytest.mark.parametrize("base", [None, "contest", str(SMALL)])
def test_a_recipe_to_change_is_its_base_and_its_comments_are_changes_that_load(tmp_path, base):
    path, _ = write_recipe("mine", base, folder=tmp_path)
    valid(path)
    assert len(load_recipe(str(path)).stages) == len(load_recipe(base or "quickstart").stages)
    text = path.read_text()
    assert "#   report" in text
    head, _, example = text.partition("# stages:\n")
    path.write_text(head + "stages:\n" + "\n".join(line.removeprefix("#") for line in example.splitlines()))
    valid(path)
    load_recipe(str(path))


def rows(number: int, key: str = "text") -> str:
    return "".join(json.dumps({"id": n, key: f"document {n}"}) + "\n" for n in range(number))


def test_a_recipe_over_own_text_holds_some_out_and_learns_from_the_rest(tmp_path):
    (tmp_path / "a.jsonl").write_text(rows(30, "content"))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as handle:
        handle.write(rows(70, "content"))
    path, *_ = write_recipe("own", text=[str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl.gz")], folder=tmp_path)
    valid(path)
    recipe = load_recipe(str(path))
    held, curated, text = (recipe.stage(name).sources for name in ("held-out", "curated", "text"))
    assert (held[0].num_documents, held[0].text_field) == (10, "content")
    assert (curated[0].offset, curated[0].num_documents) == (10, 25)
    assert [(source.path, source.offset) for source in text] == [
        (str(tmp_path / "a.jsonl"), 10),
        (str(tmp_path / "b.jsonl.gz"), 0),
    ]
    assert recipe.stage("slm").init == recipe.stage("clm").init == "base"


def test_plain_text_becomes_documents_and_curated_text_the_reference_s(tmp_path):
    (tmp_path / "book.txt").write_text("\n\n".join(f"Paragraph {n},\nof two lines." for n in range(40)))
    (tmp_path / "good.jsonl").write_text(rows(50))
    made = write_recipe(
        "own", text=[str(tmp_path / "book.txt")], curated=[str(tmp_path / "good.jsonl")], folder=tmp_path
    )
    assert made[-1] == tmp_path / "own.text.jsonl"
    assert len(made[-1].read_text().splitlines()) == 40
    recipe = load_recipe(str(made[0]))
    assert recipe.stage("text").sources[0].path == str(made[-1])
    assert recipe.stage("curated").sources[0].path.endswith("good.jsonl")


@pytest.mark.parametrize("place", ["texts", "texts/*.txt", "texts/**"])
def test_plain_text_is_taken_from_folders_and_globs_and_held_out_of_all_files(tmp_path, place):
    (tmp_path / "texts").mkdir()
    for file in "abcd":
        (tmp_path / "texts" / f"{file}.txt").write_text("\n\n".join(f"{file} {n}" for n in range(25)))
    path, _, made = write_recipe("own", text=[str(tmp_path / place)], folder=tmp_path)
    written = [json.loads(line)["text"] for line in made.read_text().splitlines()]
    assert sorted(written) == sorted(f"{file} {n}" for file in "abcd" for n in range(25))
    held = load_recipe(str(path)).stage("held-out").sources[0].num_documents
    assert len({text[0] for text in written[:held]}) > 1


def test_no_more_of_a_long_text_is_packed_and_scored_than_the_steps_read(tmp_path):
    (tmp_path / "long.jsonl").write_text(rows(30))
    recipe = load_recipe(str(write_recipe("own", text=[str(tmp_path / "long.jsonl")], folder=tmp_path)[0]))
    for corpus, trained in (("text", "slm"), ("text", "clm"), ("curated", "reference")):
        stage = recipe.stage(trained)
        assert recipe.stage(corpus).max_blocks == stage.max_steps * stage.batch_size
        assert recipe.stage(corpus).at_most
    measured = len(range(0, recipe.stage("slm").max_steps + 1, recipe.stage("slm").validation_steps))
    held_out = recipe.stage("held-out")
    assert held_out.at_most
    assert measured * held_out.max_blocks <= 2 * recipe.stage("text").max_blocks


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"text": ["latin.txt"]}, "latin.txt: is not UTF-8 (byte 2). Convert it: iconv"),
        ({"text": ["none.jsonl"]}, "--text: none.jsonl: holds no rows"),
        ({"text": ["few.jsonl"] * 9, "curated": ["words.csv"]}, "--curated: words.csv: expected .jsonl"),
        ({"text": ["no/*.txt"]}, "holds no .jsonl"),
        ({"text": ["few.jsonl", "latin.txt"]}, "do not go together"),
        ({"text": ["empty"]}, "holds no .jsonl, .jsonl.gz, .parquet, .txt, .md file"),
        ({"name": "My Recipe"}, "lower-case letters"),
        ({"base": "quikstart"}, "did you mean 'quickstart'?"),
        ({"text": ["no.jsonl"]}, "no.jsonl: does not exist"),
        ({"text": ["few.jsonl"]}, "3 documents, and it takes 20"),
        ({"text": ["words.csv"]}, "expected .jsonl"),
        ({"text": ["broken.jsonl"]}, "cannot be read as JSON lines"),
        ({"text": ["few.jsonl", "other.jsonl"]}, "under different keys (body, text)"),
        ({"text": ["few.jsonl"], "base": "quickstart"}, "exclude each other"),
        ({"curated": ["few.jsonl"]}, "goes with --text"),
    ],
)
def test_what_init_cannot_use_is_told_and_nothing_is_written(tmp_path, monkeypatch, arguments, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.txt").write_bytes(b"na\xefve")
    for name, text in (
        ("few.jsonl", rows(3)),
        ("other.jsonl", rows(3, "body")),
        ("words.csv", "a"),
        ("none.jsonl", ""),
        ("broken.jsonl", "{"),
    ):
        (tmp_path / name).write_text(text)
    with pytest.raises(RecipeError, match=re.escape(word)):
        write_recipe(**{"name": "mine", **arguments})
    assert not list(tmp_path.glob("*.yaml"))


def test_a_file_that_is_there_is_left_alone(tmp_path):
    write_recipe("mine", folder=tmp_path)
    with pytest.raises(RunError, match="is there already"):
        write_recipe("mine", folder=tmp_path)
    with pytest.raises(RunError, match="cannot be written"):
        write_recipe("mine", folder=Path("/proc/nope"))


def test_the_reference_is_fresh_and_tells_every_documented_key():
    """Where this fails: rho1bench schema --reference > recipes/REFERENCE.md."""
    assert (recipes_dir() / "REFERENCE.md").read_text(encoding="utf-8") == reference()
    keys = {key: text for key, text in documented_keys(PretrainStage).items() if key != "variant"}
    assert keys["micro_batch_size"].startswith("Blocks in one forward pass")
    assert [text for text in keys.values() if text.replace("|", "\\|") not in reference()] == []


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        ({"stages": [{"name": "a", "kind": "pretrian"}]}, "pretrian"),
        ({"stages": [{"name": "a", "kind": "corpus", "block_sise": 8}]}, "block_sise"),
        ({"name": "x"}, "x"),
    ],
)
def test_an_editor_sees_what_is_wrong(edit, word):
    errors = list(jsonschema.Draft202012Validator(file_schema()).iter_errors({"name": "x", "stages": []} | edit))
    if edit != {"name": "x"}:
        assert any(word in error.message for error in errors)
    assert errors


def test_a_stage_that_changes_another_needs_no_more_than_its_name():
    change = {"extends": "quickstart", "stages": [{"name": "slm", "kind": "pretrain", "max_steps": 3}]}
    validator = jsonschema.Draft202012Validator(file_schema())
    assert validator.is_valid(change)
    assert not validator.is_valid({"name": "whole", **{key: change[key] for key in ("stages",)}})
