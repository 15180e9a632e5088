"""Memory groups: where they can be made, what they hold, and that nothing of them stays behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from rho1bench.sandbox.fork_server import ForkServer
from rho1bench.sandbox.inside import messages, program, supervisor, syscalls
from rho1bench.sandbox.inside.memory_group import SLACK, ProgramGroup, join, make
from rho1bench.sandbox.memory_groups import PREFIX, MemoryGroups, _place, make_groups

VERSION_1 = "36 32 0:31 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory"
MIB = 1 << 20


@pytest.fixture
def groups() -> Iterator[MemoryGroups]:
    """Groups of this process; skips where the machine gives it none."""
    made = make_groups()
    if made is None:
        pytest.skip("no cgroup of version 2 here whose memory this process may divide")
    yield made
    if made.folder.exists():
        made.close()


def mount(root: str, point: Path) -> str:
    return f"30 23 0:26 {root} {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders like those of cgroups; all but the root have a type."""
    (tmp_path / "user.slice" / "run.scope").mkdir(parents=True)
    for group in ("user.slice", "user.slice/run.scope"):
        (tmp_path / group / "cgroup.type").write_text("domain\n")
    return tmp_path


def test_groups_lie_beside_the_caller_s_own(tree: Path) -> None:
    mounts = f"{VERSION_1}\n{mount('/', tree)}\n"
    assert _place(mounts, "4:memory:/x\n0::/user.slice/run.scope\n") == tree / "user.slice"
    assert _place(mounts, "0::/user.slice\n") == tree
    assert _place(mounts, "0::/\n") == tree
    # A container sees a part of the tree, with its own group as the root or below it.
    assert _place(mount("/user.slice", tree / "user.slice"), "0::/user.slice/run.scope\n") == tree / "user.slice"
    assert _place(mount("/user.slice", tree / "user.slice"), "0::/user.slice\n") is None
    assert _place(mount("/", tree / "user.slice"), "0::/\n") is None


@pytest.mark.parametrize(
    ("name", "value", "is_free"),
    [
        ("memory.max", "max", True),
        ("memory.max", "8589934592", False),
        ("memory.high", "1048576", False),
        ("cpu.max", "max 100000", True),
        ("cpu.max", "50000 100000", False),
        ("cpuset.cpus", "", True),
        ("cpuset.cpus", "0-3", False),
    ],
)
def test_programs_do_not_leave_the_limits_of_their_caller(tree: Path, name: str, value: str, is_free: bool) -> None:
    (tree / "user.slice" / "run.scope" / name).write_text(value + "\n")
    expected = tree / "user.slice" if is_free else None
    assert _place(mount("/", tree), "0::/user.slice/run.scope\n") == expected


def test_where_there_is_no_version_2_there_are_none(tree: Path, tmp_path: Path) -> None:
    assert _place(VERSION_1, "4:memory:/x\n") is None
    assert _place(VERSION_1, "4:memory:/x\n0::/\n") is None
    assert _place(mount("/other", tree), "0::/user.slice\n") is None
    (tmp_path / "mounts").write_text(mount("/", tree))
    (tmp_path / "own").write_text("0::/user.slice/run.scope\n")
    (tree / "user.slice" / "cgroup.controllers").write_text("cpu pids\n")
    assert make_groups(tmp_path / "mounts", tmp_path / "own") is None
    assert make_groups(tmp_path / "nothing", tmp_path / "own") is None
    (tmp_path / "mounts").write_bytes(
        mount("/", tree).encode() + b"\n31 23 0:27 / /mnt/caf\xe9 rw - ext4 /dev/sda rw\n"
    )
    assert make_groups(tmp_path / "mounts", tmp_path / "own") is None
    assert not list(tree.rglob(f"{PREFIX}*"))


def test_a_group_that_cannot_be_made_leaves_the_count(tmp_path: Path) -> None:
    assert make(None, MIB, MIB, 64) is None
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        before = os.listdir("/proc/self/fd")
        assert make(folder, MIB, MIB, 64) is None
        assert len(os.listdir("/proc/self/fd")) == len(before)
        assert not list(tmp_path.iterdir())
        with pytest.raises(OSError, match="server"):
            join(folder)
    finally:
        os.close(folder)


def in_group(group: ProgramGroup, num_bytes: int) -> int:
    """Fork a process of the group that writes to so much memory; return its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            group.enter()
            held = bytearray(num_bytes)
            held[::4096] = b"x" * len(held[::4096])
            os._exit(0)
        finally:
            os._exit(9)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(("num_bytes", "code"), [(64 * MIB, 0), (SLACK + 200 * MIB, -signal.SIGKILL)])
def test_the_kernel_ends_what_holds_too_much(groups: MemoryGroups, num_bytes: int, code: int) -> None:
    group = ProgramGroup(groups.descriptor, 64 * MIB + SLACK)
    assert in_group(group, num_bytes) == code
    assert group.is_overrun() == (code != 0)
    group.remove()
    assert [path.name for path in groups.folder.iterdir() if path.is_dir()] == ["server"]


def test_programs_run_in_groups_and_nothing_stays(groups: MemoryGroups) -> None:
    place = groups.folder.parent
    server = ForkServer(modules=())
    try:
        assert server.has_memory_groups
        (own,) = (path for path in place.glob(f"{PREFIX}{os.getpid()}-*") if path != groups.folder)
        assert (own / "server" / "cgroup.procs").read_text().split()
        end = server.run("print(open('/proc/self/cgroup').read())", 10.0, 256)
        assert (end.ended, end.status) == ("exit", 0), end
        assert f"{own.name}/program-" in end.stdout
        held = "(bytearray(200 << 20), time.sleep(60))"
        many = f"import os, time\nfor _ in range(12): os.fork() or {held}\ntime.sleep(60)"
        assert server.run(many, 20.0, 256).ended == "memory"
        wait_until(lambda: [path.name for path in own.iterdir() if path.is_dir()] == ["server"])
    finally:
        server.close()
    assert not own.exists()


def wait_until(holds: Callable[[], bool]) -> None:
    latest = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < latest
        time.sleep(0.01)


def test_what_the_kernel_ends_ran_out_of_memory(
    groups: MemoryGroups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a look at the count in between: the supervisor has the verdict from the group."""
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 60.0)
    monkeypatch.setattr(program, "PROCESSES", 0)
    near, far = socket.socketpair()
    output = os.open(os.devnull, os.O_WRONLY)
    info = supervisor.ForkServerInfo(os.getpid(), syscalls.address_space(), False, groups.descriptor)
    pid = os.fork()
    if pid == 0:
        near.close()
        supervisor.supervise(supervisor.Descriptors(far.fileno(), output, os.dup(output), None), info)()
        os._exit(9)
    far.close()
    held = (
        "import os\nfor _ in range(3): os.fork()\nx = bytearray(90 << 20); x[::4096] = b'x' * len(x[::4096])\nos.wait()"
    )
    request = supervisor.Request(held, 60.0, 128, str(tmp_path), captured=False, latest=60.0)
    messages.send(near, asdict(request))
    report = messages.receive(near)
    assert isinstance(report, dict)
    assert report["ended"] == "memory"
    os.waitpid(pid, 0)


def test_what_a_killed_caller_left_is_taken_away(groups: MemoryGroups) -> None:
    place = groups.folder.parent
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    left, used = place / f"{PREFIX}{pid}-dead", place / f"{PREFIX}{os.getppid()}-alive"
    for folder in (left, used):
        (folder / "server").mkdir(parents=True)
    again = make_groups()
    assert again is not None
    again.close()
    try:
        assert not left.exists()
        assert used.exists()
    finally:
        (used / "server").rmdir()
        used.rmdir()


def test_groups_end_with_what_is_in_them(groups: MemoryGroups) -> None:
    group = ProgramGroup(groups.descriptor, 64 * MIB)
    pid = os.fork()
    if pid == 0:
        group.enter()
        time.sleep(60)
        os._exit(0)
    procs = next(groups.folder.glob("program-*")) / "cgroup.procs"
    while str(pid) not in procs.read_text().split():
        time.sleep(0.01)
    groups.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not groups.folder.exists()
