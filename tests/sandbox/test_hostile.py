"""The hostile set: every program is contained, is reported as what it was, and leaves the next one alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_processes import processes_with, unique_seconds
from hostile_programs import ESCAPES, EXHAUSTION, TRY

from rho1bench.sandbox import run_program
from rho1bench.sandbox.fork_server import ForkServer

DAEMON_SECONDS = unique_seconds()
ABSTRACT = f"rho1bench-test-{os.getpid()}"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Things of the host that a program would like to reach; the words in the programs that stand for them."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "secret.txt").write_text("the secret")
    sentinel = subprocess.Popen(["sleep", "600"])
    sockets = [socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
    sockets += [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    for one, address in zip(
        sockets, [("127.0.0.1", 0), ("127.0.0.1", 0), str(folder / "unix"), f"\0{ABSTRACT}"], strict=True
    ):
        one.bind(address)
        if one.type == socket.SOCK_STREAM:
            one.listen()
    os.environ["RHO1BENCH_TEST_WORD"] = "swordfish"
    yield {
        "SECRET": str(folder / "secret.txt"),
        "UDP_PORT": str(sockets[1].getsockname()[1]),
        "PORT": str(sockets[0].getsockname()[1]),
        "UNIX_PATH": str(folder / "unix"),
        "ABSTRACT": ABSTRACT,
        "HOST_PID": str(sentinel.pid),
        "WORD": "swordfish",
        "HOME": str(Path.home()),
        "REPOSITORY": str(Path(__file__).parents[2]),
        "FOLDER": str(folder),
        "SHOWN": str({part for path in (sys.base_prefix, sys.prefix) for part in path.split("/")}),
        "DAEMON_SECONDS": DAEMON_SECONDS,
    }
    del os.environ["RHO1BENCH_TEST_WORD"]
    for one in sockets:
        one.close()
    assert sentinel.poll() is None
    sentinel.kill()
    sentinel.wait()


def filled_in(source: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        source = source.replace(word, value)
    return TRY + source


def assert_the_next_program_is_well() -> None:
    assert run_program("import math; print(math.pi)").stdout.startswith("3.14159")


@pytest.mark.parametrize("name", EXHAUSTION)
def test_exhaustion_is_bounded_and_has_its_outcome(name: str):
    outcomes, source = EXHAUSTION[name]
    limit = 0.8 if "timeout" in outcomes else 15.0
    began = time.monotonic()
    result = run_program(source, timeout=limit)
    assert result.outcome in outcomes.split(), result.error
    assert time.monotonic() - began < limit + 5
    assert_the_next_program_is_well()


@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_escapes(name: str, host: dict[str, str]):
    result = run_program(filled_in(ESCAPES[name], host), timeout=10)
    assert result.outcome in ("ok", "error"), result
    assert "ESCAPED" not in result.stdout
    assert "the secret" not in result.stdout
    if "print('alive')" in ESCAPES[name]:
        assert result.stdout.endswith("alive\n")
    if name == "forges a report":
        assert (result.outcome, result.error) == ("error", "forged")
    assert not processes_with(DAEMON_SECONDS)
    assert not (Path(host["FOLDER"]) / "written").exists()
    assert_the_next_program_is_well()


@pytest.mark.parametrize("name", ["reads a secret", "TCP", "abstract socket", "its parent's name"])
def test_without_isolation_the_programs_would_get_what_they_want(name: str, host: dict[str, str]):
    """Shows that the set can tell; only programs that do no harm."""
    server = ForkServer((), isolation="none")
    source = ESCAPES.get(name, "print(attempt(lambda: open('/proc/%d/comm' % os.getppid()).read() and 'ESCAPED'))")
    try:
        assert "ESCAPED" in server.run(filled_in(source, host), 10.0, 256).stdout
    finally:
        server.close()


def test_the_set_is_as_large_as_promised():
    assert len(EXHAUSTION) + len(ESCAPES) >= 60


def test_programs_are_isolated_here():
    server = ForkServer(())
    try:
        assert server.isolation in ("bubblewrap", "namespaces")
    finally:
        server.close()


def test_shared_memory_ends_with_its_program():
    make = "from multiprocessing.shared_memory import SharedMemory as S\nS('left', create=True, size=9); print('made')"
    look = "from multiprocessing.shared_memory import SharedMemory as S\nS('left')"
    assert run_program(make).stdout == "made\n"
    assert run_program(look).error.startswith("FileNotFoundError")
