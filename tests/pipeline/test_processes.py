"""Runs in processes of their own: two at once, killed, interrupted, on a full or read-only disk."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_recipe import SMALL, command, rho1bench, surroundings

from rho1bench.system.files import read_json

SLEEP = 0.02


def start(folder: Path, **environment: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("run", SMALL, "--output", folder),
        env=surroundings(**{"FAKE_SLEEP": SLEEP, **environment}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def results(folder: Path) -> dict[str, bytes]:
    kept = ("result.json", "metrics.jsonl", "weights.bin", "report.md")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.name in kept}


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(path: Path) -> None:
    """Write until the disk takes no more byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017 - any other error shall fail the test
    finally:
        os.close(descriptor)


def test_a_killed_run_completes_and_equals_an_uninterrupted_one(tmp_path):
    straight = tmp_path / "straight"
    assert rho1bench("run", SMALL, "--output", straight, fake=True).returncode == 0
    folder = tmp_path / "killed"
    chance = random.Random(5)
    for stage in ("base", "clm", "slm"):
        process = start(folder)
        wait_for(folder / "stages" / stage / "metrics.jsonl", process)
        time.sleep(chance.random() * SLEEP * 10)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (folder / "stages" / stage / "manifest.json").exists()
    done = rho1bench("run", SMALL, "--output", folder, fake=True)
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr
    assert results(folder) == results(straight)
    assert read_json(folder / "stages/slm/manifest.json")["attempts"] == 2
    assert {name: stage["attempts"] for name, stage in read_json(folder / "summary.json")["stages"].items()} == {
        "tokenizer": 1, "web": 1, "base": 2, "scores": 1, "clm": 2, "slm": 2, "eval": 1, "compare": 1, "report": 1,
    }  # fmt: skip


def test_two_runs_on_one_folder_do_not_mix(tmp_path):
    folder = tmp_path / "run"
    first = start(folder, FAKE_SLEEP="0.06")
    wait_for(folder / "stages/base/metrics.jsonl", first)
    second = rho1bench("run", SMALL, "--output", folder, fake=True)
    assert second.returncode == 2
    assert f"in use by process {first.pid} on " in second.stderr
    assert "Traceback" not in second.stderr
    assert first.wait(60) == 0
    assert rho1bench("run", SMALL, "--output", folder, fake=True).returncode == 0


def test_ctrl_c_ends_with_a_clear_word(tmp_path):
    folder = tmp_path / "run"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
    process = start(folder)
    signal.signal(signal.SIGINT, before)
    wait_for(folder / "stages/base/metrics.jsonl", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.rstrip().endswith("stopped; the same command continues")
    assert "Traceback" not in errors
    assert rho1bench("run", SMALL, "--output", folder, fake=True).returncode == 0


def test_a_full_disk_is_told_and_the_same_command_completes_later(tmp_path):
    with mounted(tmp_path / "disk", "size=3m") as disk:
        folder = disk / "run"
        full = rho1bench("run", SMALL, "--output", folder, fake=True, FAKE_MEGABYTES=1.2)
        assert full.returncode == 2
        assert full.stderr.rstrip().splitlines()[-1].startswith("error: the disk that holds the run folder")
        assert "same command" in full.stderr
        assert "Traceback" not in full.stderr
        assert not (folder / "summary.json").exists()
        assert not list(folder.rglob(".*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=9m", disk], check=True)
        done = rho1bench("run", SMALL, "--output", folder, fake=True, FAKE_MEGABYTES=1.2)
        assert done.returncode == 0, done.stderr
        assert (folder / "summary.json").exists()


def test_a_disk_without_a_free_byte_is_told_at_the_start(tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        fill(disk / "filler")
        full = rho1bench("run", SMALL, "--output", disk / "run", fake=True)
        assert (full.returncode, full.stderr.count("error:")) == (2, 1)
        assert "is full" in full.stderr
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        assert rho1bench("run", SMALL, "--output", disk / "run", fake=True).returncode == 0


def test_a_read_only_disk_is_told(tmp_path):
    with mounted(tmp_path / "disk", "size=1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for folder in (disk, disk / "run"):
            refused = rho1bench("run", SMALL, "--output", folder, fake=True)
            assert refused.returncode == 2
            assert f"error: cannot write to the run folder {folder}: Read-only file system" in refused.stderr
            assert "Traceback" not in refused.stderr


def test_a_place_where_no_folder_can_be_made_is_told():
    refused = rho1bench("run", SMALL, "--output", "/proc/run", fake=True)
    assert refused.returncode == 2
    assert "error: cannot write to the run folder /proc/run" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the read-only disk stands in for this")
def test_a_folder_without_permission_is_told(tmp_path):
    tmp_path.chmod(0o500)
    refused = rho1bench("run", SMALL, "--output", tmp_path / "run", fake=True)
    tmp_path.chmod(0o700)
    assert refused.returncode == 2
    assert "Permission denied" in refused.stderr
