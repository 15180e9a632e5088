"""Processes forked for stages: their code imported once, their ends told, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from rho1bench.errors import RunError
from rho1bench.pipeline.stage_forks import StageForks

FILE = "import os\nprint('imported', os.getpid(), flush=True)\n"


@pytest.fixture
def forks() -> Iterator[StageForks]:
    started = StageForks()
    yield started
    started.close()


def start(forks: StageForks, module: str, job: bytes | None) -> list[dict[str, object]]:
    """Start a process with ``job`` as its first line, or with none at all; return what it tells."""
    reading, writing = os.pipe()
    job_reading, job_writing = os.pipe()
    forks.start(module, (job_reading, writing))
    os.close(writing)
    os.close(job_reading)
    with os.fdopen(job_writing, "wb") as stream:
        if job is not None:
            stream.write(job + b"\n")
    with os.fdopen(reading, encoding="utf-8") as events:
        return [json.loads(line) for line in events]


def test_code_is_imported_once_and_codes_of_exit_are_told(forks, tmp_path, monkeypatch, capfd):
    (tmp_path / "heavy_stage_code.py").write_text(FILE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for _ in range(3):
        assert start(forks, "heavy_stage_code", None) == [{"event": "exit", "arguments": [1]}]
    assert start(forks, "no_such_module", b"not json") == [{"event": "exit", "arguments": [1]}]
    printed = capfd.readouterr()
    assert printed.out.count("imported") == 1
    assert printed.err.count("Traceback") == 1


def test_the_server_ends_with_its_handle_and_its_loss_is_one_message(forks):
    start(forks, "json", None)
    first = forks.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    time.sleep(0.1)
    with pytest.raises(RunError, match=r"ended by signal 9.*run the same command again"):
        start(forks, "json", None)
    forks.close()
    assert start(forks, "json", None) == [{"event": "exit", "arguments": [1]}]
    second = forks.pid
    assert second not in (None, first)
    forks.close()
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)
