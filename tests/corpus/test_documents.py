from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path

import pytest

from rho1bench.corpus.sources.documents import Document
from rho1bench.corpus.sources.reader import SourceReader, read_documents
from rho1bench.errors import DataError
from rho1bench.recipe import LocalSource, MiniWorldSource


def local(path: Path, **fields: object) -> LocalSource:
    return LocalSource.model_validate({"type": "local", "path": str(path), **fields})


def texts(source: LocalSource | MiniWorldSource, seed: int = 0) -> list[str]:
    return [document.text for document in read_documents([source], seed)]


def test_local_lines_plain_and_gzip(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"body": f"text {number}"}) for number in range(3)) + "\n\n"
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    expected = ["text 0", "text 1", "text 2"]
    assert texts(local(tmp_path / "a.jsonl", text_field="body")) == expected
    assert texts(local(tmp_path / "a.jsonl.gz", text_field="body")) == expected
    assert texts(local(tmp_path / "a.jsonl", text_field="body", num_documents=2)) == expected[:2]
    assert texts(local(tmp_path / "a.jsonl", text_field="body", offset=1)) == expected[1:]
    assert texts(local(tmp_path / "a.jsonl", text_field="body", offset=1, num_documents=1)) == expected[1:2]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b'{"text": "cut', "not valid JSON"),
        (b"[1, 2]", "expected a JSON object"),
        (b'{"txt": "a"}', "no field 'text'"),
        (b'{"text": 3}', "non-empty string"),
        (b'{"text": "  "}', "non-empty string"),
        (b'{"text": "\xff"}', "not UTF-8"),
        (b'{"text": "\\ud800"}', "lone surrogate"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: bytes, word: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line + b"\n")
    with pytest.raises(DataError, match=word) as caught:
        texts(local(path))
    assert f"{path}:2" in str(caught.value)


def test_missing_file_torn_gzip_and_too_few_documents(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        texts(local(tmp_path / "none.jsonl"))
    path = tmp_path / "torn.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a"}\n' * 1000)[:-20])
    with pytest.raises(DataError, match=r"torn\.jsonl\.gz"):
        texts(local(path))
    path = tmp_path / "few.jsonl"
    path.write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match="has 1 documents"):
        texts(local(path, num_documents=2))


@pytest.mark.parametrize("text", ["clean", "web", "sft_cot", "sft_tir"])
def test_mini_world_is_one_stream_whatever_the_chunks(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MiniWorldSource.model_validate({"type": "mini_world", "text": text, "num_documents": 12})
    tail = whole.model_copy(update={"num_documents": 5, "offset": 7})
    expected = list(read_documents([whole], 3))
    monkeypatch.setattr("rho1bench.corpus.sources.documents._CHUNK", 4)
    assert list(read_documents([whole], 3)) == expected
    assert list(read_documents([tail], 3)) == expected[7:]
    assert texts(whole, 4) != [document.text for document in expected]
    for document in expected:
        assert "".join(document.text[start:end] for start, end, _ in document.spans) == document.text


def test_the_axes_of_the_mini_world_reach_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def mini(text: str, **axes: object) -> MiniWorldSource:
        return MiniWorldSource.model_validate({"type": "mini_world", "text": text, "num_documents": 8, **axes})

    narrow = mini("clean", coverage={"tasks": 0.1, "operands": 0.5})
    assert all("bags" in text or "boxes" in text for text in texts(narrow))
    assert texts(mini("clean", coverage={"phrasings": 1.0})) == texts(mini("clean"))
    pages = list(read_documents([mini("web", noise_kinds=["boilerplate"])], 0))
    assert {kind for page in pages for _, _, kind in page.spans} <= {"math", "wrong_number", "boilerplate"}
    monkeypatch.setattr("rho1bench.mini_world.coverage._PATIENCE", 20)
    with pytest.raises(DataError, match="mini_world, text clean: asdiv: no problem is covered"):
        texts(mini("clean", coverage={"tasks": 0.1, "operands": 0.001, "phrasings": 0.001}))
    for text, axes in (("clean", {"noise_kinds": ["url"]}), ("web", {"coverage": {"tasks": 0.5}})):
        with pytest.raises(ValueError, match=f"{next(iter(axes))} (are those|is that) of text: "):
            mini(text, **axes)


def test_epochs_read_the_documents_again_and_resume_in_any_of_them() -> None:
    once = MiniWorldSource(type="mini_world", text="clean", num_documents=3, offset=2)
    thrice = once.model_copy(update={"epochs": 3})
    assert texts(thrice) == 3 * texts(once)
    for taken in range(10):
        reader = SourceReader(thrice, 0)
        assert len(list(islice(reader, taken))) == min(taken, 9)
        rest = SourceReader(thrice, 0, position=reader.position())
        assert [item.text for item in rest if isinstance(item, Document)] == (3 * texts(once))[taken:]
    with pytest.raises(ValueError, match="epochs are those of clean and web text"):
        MiniWorldSource(type="mini_world", text="sft_tir", num_documents=3, epochs=2)
