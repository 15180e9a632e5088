"""Calls the command line inside this process, as the tests of ``rho1bench eval`` do."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rho1bench.cli import app as cli
from rho1bench.system.files import read_jsonl


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


class CommandLine:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: Any) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["rho1bench", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, printed.out, printed.err)


def keys(folder: Path) -> list[str]:
    """Keys of the answers in a checkpoint's cache, in the order in which they came."""
    path = folder / "answers.jsonl"
    return [entry["key"] for entry in read_jsonl(path)] if path.exists() else []
