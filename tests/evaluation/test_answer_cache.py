"""The cache of answers: found again by everything they depend on, and in folders of earlier versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from rho1bench.errors import RunError
from rho1bench.evaluation.answer_cache import AnswerCache


def test_an_answer_is_found_by_identity_and_question(tmp_path: Path):
    cache = AnswerCache(tmp_path, {"weights": "a"})
    key = cache.key("complete", "prompt", ("stop",), 8)
    assert cache.find(key) is None
    cache.add(key, {"text": "7"})
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
    cache.add(cache.key("another"), {"text": "8"})
    assert [path.name for path in tmp_path.iterdir()] == ["answers.jsonl"]
    (tmp_path / "journal.jsonl").write_text("left alone beside a newer file")
    assert AnswerCache(tmp_path, {}).find(key) is not None


def test_a_changed_answer_is_reported_with_its_line(tmp_path: Path):
    cache = AnswerCache(tmp_path, {})
    for text in ("6", "7 \u00e9\ud800"):
        cache.add(cache.key(text), {"text": text, "value": -0.1, "source": ("task", 3)})
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
