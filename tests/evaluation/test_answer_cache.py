"""The cache of answers: found again by everything they depend on, and in folders of earlier versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from rho1bench.errors import RunError
from rho1bench.evaluation.answer_cache import AnswerCache, engine_facts


def test_an_answer_is_found_by_identity_and_question(tmp_path: Path):
    cache = AnswerCache(tmp_path, {"weights": "a"})
    key = cache.key("complete", "prompt", ("stop",), 8)
    assert cache.find(key) is None
    cache.add({key: {"text": "7"}})
    again = AnswerCache(tmp_path, {"weights": "a"})
    assert again.find(again.key("complete", "prompt", ("stop",), 8)) == {"key": key, "text": "7"}
    assert again.find(again.key("complete", "prompt", ("stop",), 9)) is None
    other = AnswerCache(tmp_path, {"weights": "b"})
    assert other.find(other.key("complete", "prompt", ("stop",), 8)) is None


def test_the_file_of_earlier_versions_is_taken_over(tmp_path: Path):
    key = AnswerCache(tmp_path, {}).key("question")
    (tmp_path / "journal.jsonl").write_text(f'{{"key": "{key}", "text": "7"}}\n')
    cache = AnswerCache(tmp_path, {})
    assert cache.find(key) == {"key": key, "text": "7"}
    cache.add({cache.key("another"): {"text": "8"}})
    assert [path.name for path in tmp_path.iterdir()] == ["answers.jsonl"]
    (tmp_path / "journal.jsonl").write_text("left alone beside a newer file")
    assert AnswerCache(tmp_path, {}).find(key) is not None


def test_a_changed_answer_is_reported_with_its_line(tmp_path: Path):
    cache = AnswerCache(tmp_path, {})
    texts = ("6", "7 \u00e9\ud800")
    cache.add({cache.key(text): {"text": text, "value": -0.1, "source": ("task", 3)} for text in texts})
    path = tmp_path / "answers.jsonl"
    assert AnswerCache(tmp_path, {}).find(cache.key("6")) is not None
    whole = path.read_text()
    for changed in (
        whole.replace('"7 ', '"8 '),
        whole.replace("-0.1", "-0.2"),
        whole.replace('"sha256": "', '"sha256": "0'),
    ):
        path.write_text(changed)
        with pytest.raises(RunError, match=r"answers\.jsonl: the answer in line \d was changed.* Remove the file"):
            AnswerCache(tmp_path, {})


def test_a_broken_file_is_reported_with_the_way_out(tmp_path: Path):
    (tmp_path / "answers.jsonl").write_text("{broken\n")
    with pytest.raises(RunError, match="Remove the file; its answers are then computed again"):
        AnswerCache(tmp_path, {})


def test_answers_are_in_the_file_while_it_is_open_and_after_a_torn_line(tmp_path: Path):
    cache = AnswerCache(tmp_path, {})
    keys = [cache.key(str(number)) for number in range(3)]
    cache.add({key: {"text": key[:4]} for key in keys[:2]})
    assert all(AnswerCache(tmp_path, {}).find(key) for key in keys[:2])  # the first one is still open
    with (tmp_path / "answers.jsonl").open("ab") as handle:
        handle.write(b'{"key": "to')  # what a write cut short leaves
    again = AnswerCache(tmp_path, {})
    again.add({keys[2]: {"text": "8"}})
    again.close()
    again.add({cache.key("3"): {"text": "9"}})
    assert [line[:8] for line in (tmp_path / "answers.jsonl").read_text().splitlines()] == ['{"key": '] * 4
    assert all(AnswerCache(tmp_path, {}).find(key) for key in keys)


def test_facts_of_engines_are_kept_by_identity(tmp_path: Path):
    assert engine_facts(tmp_path, {"weights": "a"}) == {}
    cache = AnswerCache(tmp_path, {"weights": "a"})
    for sequences in (1024, 256, 1024):
        cache.note_engine({"max_num_seqs": sequences, "attention_backend": "FLASH_ATTN"})
    AnswerCache(tmp_path, {"weights": "b"}).note_engine({"max_num_seqs": 64})
    assert engine_facts(tmp_path, {"weights": "a"}) == {
        "max_num_seqs": "1024, 256",
        "attention_backend": "FLASH_ATTN",
    }
    assert engine_facts(tmp_path, {"weights": "b"}) == {"max_num_seqs": 64}
