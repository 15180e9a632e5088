"""Text of installed packages: docstrings and marked source, disjoint shares, bad files, resumption."""

from __future__ import annotations

import sys
from itertools import islice, pairwise
from pathlib import Path

import pytest

from rho1bench.corpus.sources.local_rows import BadRow
from rho1bench.corpus.sources.package_text import PackageRows
from rho1bench.corpus.sources.reader import SourceReader, read_documents
from rho1bench.errors import DataError, MissingPackageError
from rho1bench.pipeline.fingerprint import stage_fingerprint
from rho1bench.recipe import PackageSource, TokenizerStage

LONG = "It says what it does and why. " * 8 + "The end."
MODULES = {
    "plain.py": f'"""Module. {LONG}"""\nX = "é"\n\n\ndef f():\n    """Does it.\n\n    {LONG}\n    """\n    return X\n',
    "one_line.py": f'def g(): "Überall: {LONG}"\n\n\nclass A:\n    """Short."""\n',
    "form_feed.py": f'A = 1\n\f\ndef h():\n    """After a form feed. {LONG}"""\n',
    "none.py": "x = 1\n",
    "empty.py": "\n",
    "broken.py": "def (:\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package of six files, one of them no Python."""
    (tmp_path / "wordy").mkdir()
    for name, text in MODULES.items():
        (tmp_path / "wordy" / name).write_text(text, encoding="utf-8")
    info = tmp_path / "wordy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wordy\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"wordy/{name},,\n" for name in MODULES))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return "wordy"


def source(package: str, text: str, **fields: object) -> PackageSource:
    return PackageSource.model_validate({"type": "package", "packages": [package], "text": text, **fields})


def good(items: PackageRows | SourceReader) -> list[str]:
    return [item.text for item in items if not isinstance(item, DataError)]


def test_docstrings_are_documents_without_their_indent_and_quotes(package: str) -> None:
    found = good(PackageRows(source(package, "docstrings"), None, None))
    assert sorted(text.split(".")[0].split(":")[0] for text in found) == [
        "After a form feed",
        "Does it",
        "Module",
        "Überall",
    ]
    assert f"Does it.\n\n{LONG}" in found


def test_source_files_tell_docstrings_from_code(package: str) -> None:
    rows = PackageRows(source(package, "source"), None, None)
    documents = {item.text: item.spans for item in rows if not isinstance(item, DataError)}
    assert sorted(documents) == sorted(text for name, text in MODULES.items() if name not in ("broken.py", "empty.py"))
    for text, spans in documents.items():
        assert (spans[0][0], spans[-1][1]) == (0, len(text))
        assert all(one[1] == other[0] for one, other in pairwise(spans))
        marked = [text[a:b] for a, b, kind in spans if kind == "text"]
        assert all(part[0] == part[-1] == '"' for part in marked)
        assert len(marked) == text.count(LONG) + text.count("Short.")


def test_a_file_that_is_no_python_or_too_long_is_a_bad_row(package: str) -> None:
    kinds = [item.kind for item in PackageRows(source(package, "source"), None, None) if isinstance(item, BadRow)]
    assert kinds == ["not_python"]
    with pytest.raises(DataError, match=r"broken.py: cannot be read as Python"):
        list(read_documents([source(package, "source")], 0))
    bad = [item for item in PackageRows(source(package, "source"), 100, None) if isinstance(item, BadRow)]
    assert sorted(item.kind for item in bad) == ["not_python", *["too_long"] * 3]


def test_shares_of_files_are_disjoint_and_together_everything() -> None:
    parts = [(0.0, 0.3), (0.3, 0.9), (0.9, 1.0)]
    texts = [
        good(PackageRows(source("typer", "source", files_from=low, files_to=high), None, None)) for low, high in parts
    ]
    whole = good(PackageRows(source("typer", "source"), None, None))
    assert [text for part in texts for text in part] == whole
    assert all(texts)
    assert len(texts[1]) > len(texts[0]) > len(texts[2])


def test_a_reader_goes_on_where_another_stopped() -> None:
    every = good(SourceReader(source("typer", "docstrings"), 0))
    first = SourceReader(source("typer", "docstrings"), 0)
    taken = list(islice(first, 5))
    rest = good(SourceReader(source("typer", "docstrings"), 0, position=first.position()))
    assert len(taken) == 5
    assert rest == every[5:]
    assert good(SourceReader(source("typer", "docstrings", offset=2, num_documents=3), 0)) == every[2:5]


def test_missing_packages_and_empty_shares_say_so(package: str) -> None:
    with pytest.raises(MissingPackageError, match="'no-such-thing', which is not installed"):
        PackageRows(source("no-such-thing", "source"), None, None)
    with pytest.raises(ValueError, match=r"files_from \(0.5\) must be less than files_to \(0.5\)"):
        source(package, "source", files_from=0.5, files_to=0.5)
    last = list(SourceReader(source(package, "source", num_documents=9), 0))[-1]
    assert str(last) == "source of wordy: has 4 documents, but the recipe asks for 9."


def test_another_version_of_the_package_is_another_stage(package: str, tmp_path: Path) -> None:
    from rho1bench.pipeline import fingerprint

    stage = TokenizerStage(name="tok", kind="tokenizer", vocab_size=400, sources=[source(package, "docstrings")])
    before = stage_fingerprint(stage, 0, {}).sha256
    assert fingerprint.text_packages(stage) == {"text of wordy": "1.0"}
    metadata = tmp_path / "wordy-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    fingerprint._version.cache_clear()
    assert stage_fingerprint(stage, 0, {}).sha256 != before
