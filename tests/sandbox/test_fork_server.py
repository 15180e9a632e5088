"""The fork server dies, hangs, is shared and is forked: no program is lost and nothing stays behind."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from host_processes import processes_with, unique_seconds, wait_for_processes

from rho1bench.errors import SandboxError
from rho1bench.sandbox import Isolation, fork_server, run_programs
from rho1bench.sandbox.fork_server import ForkServer
from rho1bench.sandbox.inside.syscalls import LARGE_PAGE, collapse


@pytest.fixture
def server() -> Iterator[ForkServer]:
    """A fork server of the test's own, with little to import."""
    started = ForkServer(("math",))
    yield started
    started.close()


def printed(server: ForkServer, source: str, timeout: float = 10.0) -> str:
    ended = server.run(source, timeout, 256)
    assert (ended.ended, ended.status) == ("exit", 0), ended
    return ended.stdout


def pid_of(server: ForkServer) -> int:
    assert printed(server, "print(1)") == "1\n"
    assert server.pid is not None
    return server.pid


def innermost(pid: int) -> int:
    """The fork server itself: bubblewrap's processes are around it."""
    process = psutil.Process(pid)
    while process.name() == "bwrap":
        (process,) = process.children()
    return process.pid


def test_a_dead_server_is_replaced(server: ForkServer):
    first = pid_of(server)
    os.kill(first, signal.SIGKILL)
    assert printed(server, "print(2)") == "2\n"
    assert pid_of(server) != first


def test_a_server_killed_in_the_middle_loses_no_program(server: ForkServer):
    first = pid_of(server)
    threading.Timer(0.5, os.kill, (first, signal.SIGKILL)).start()
    began = time.monotonic()
    assert printed(server, "import time; time.sleep(1); print('done')") == "done\n"
    assert time.monotonic() - began < 8
    assert pid_of(server) != first


def test_a_hung_server_is_replaced(server: ForkServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fork_server, "GRACE_SECONDS", 1.0)
    first = pid_of(server)
    os.kill(innermost(first), signal.SIGSTOP)
    assert printed(server, "print(3)", timeout=0.5) == "3\n"
    assert pid_of(server) != first


def test_a_program_that_takes_its_supervisor_along_is_killed_after_a_few_tries(
    server: ForkServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fork_server, "_run_once", lambda *_: None)
    assert server.run("print(1)", 1.0, 256).ended == "lost"


def test_the_server_ends_with_its_caller():
    script = (
        "from rho1bench.sandbox.fork_server import ForkServer\n"
        "import os\n"
        "started = ForkServer(()); started.run('', 5, 256); print(started.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert gone(int(done.stdout))


def test_programs_end_with_their_server(server: ForkServer):
    pid, sleep = pid_of(server), unique_seconds()
    source = f"import os\nos.execv('/bin/sleep', ['sleep', '{sleep}'])"
    thread = threading.Thread(target=server.run, args=(source, 3.0, 256))
    thread.start()
    assert wait_for_processes(sleep, 1)
    (first,) = processes_with(sleep)
    os.kill(pid, signal.SIGKILL)
    assert gone(first)
    thread.join()  # the program was run again, up to its time limit
    assert wait_for_processes(sleep, 0, seconds=1)


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_many_threads_share_one_server(server: ForkServer):
    seen: dict[int, str] = {}

    def ask(number: int) -> None:
        seen[number] = printed(server, f"print({number})")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {number: f"{number}\n" for number in range(12)}


@pytest.mark.parametrize("isolation", ["bubblewrap", "namespaces"])
def test_a_server_outlives_the_thread_that_started_it(isolation: Isolation):
    if isolation == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    server = ForkServer(("math",), isolation)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(pid_of(server)))
    thread.start()
    thread.join()
    time.sleep(0.2)
    try:
        assert pid_of(server) == found[0]
    finally:
        server.close()


def test_a_forked_process_starts_a_server_of_its_own():
    assert run_programs(["print(1)"])[0].stdout == "1\n"
    pid = os.fork()
    if pid == 0:
        os._exit(0 if run_programs(["print(2)"])[0].stdout == "2\n" else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert run_programs(["print(3)"])[0].stdout == "3\n"


def test_a_server_whose_imports_fail_runs_programs_without_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "rho1bench_hostile.py").write_text("raise RuntimeError('broken on purpose')")
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    started = ForkServer(("rho1bench_hostile",))
    assert printed(started, "print(4)") == "4\n"
    started.close()


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SandboxError, match="without isolation"):
        ForkServer().run("print(1)", 1.0, 256)


def test_large_pages_hold_what_was_there():
    size = 4 * LARGE_PAGE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE) as memory:
        memory[:] = content = os.urandom(1 << 16) * (size >> 16)
        first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        collapse(first, first + size)
        same = memory[:] == content
        large = large_pages(os.getpid())
        gc.collect()  # lets go of the address
    assert same
    if not large:
        pytest.skip("this kernel collapses no memory into large pages")
    server = ForkServer(("sympy",))
    assert printed(server, "import sympy; print(sympy.Integer(7))") == "7\n"
    assert server.pid is not None
    assert large_pages(innermost(server.pid)) > 4096
    server.close()


def large_pages(pid: int) -> int:
    """Kibibytes of a process that lie in large pages."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages:"))


def test_a_source_of_a_megabyte(server: ForkServer):
    assert printed(server, f"x = '{'a' * (1 << 20)}'\nprint(len(x))") == f"{1 << 20}\n"


def test_programs_leave_no_descriptor_process_or_folder(server: ForkServer):
    pid = pid_of(server)
    gc.collect()  # what earlier tests left to be closed
    before = (descriptors(os.getpid()), descriptors(pid), scratch_folders())
    sources = ["print(1)", "1/0", "import os; os.fork()", "import os; os._exit(3)", "print('x' * 5000000)"] * 6
    for source in sources:
        server.run(source, 5.0, 256)
    printed(server, "")
    gc.collect()
    assert server.pid == pid
    assert (descriptors(os.getpid()), descriptors(pid), scratch_folders()) == before
    assert len(children(pid)) <= 3  # the last ones are reaped with the next request


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def scratch_folders() -> int:
    import tempfile

    return sum(1 for _ in Path(tempfile.gettempdir()).glob("rho1bench-*"))
