"""What the kernel shares between all processes is closed to programs, and all memory of a program counts."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import threading
import time

import pytest
from kernel_programs import CALLS, KERNEL, LOCKS, MEMORY, START

from rho1bench.sandbox import run_program
from rho1bench.sandbox.fork_server import ForkServer
from rho1bench.sandbox.inside import seccomp


@pytest.mark.parametrize("name", KERNEL)
def test_what_namespaces_do_not_divide_is_closed(name: str):
    result = run_program(START + KERNEL[name], timeout=10)
    assert (result.outcome, result.stdout) == ("ok", ""), result


@pytest.mark.parametrize("name", ["memfd", "inotify", "netlink"])
def test_without_the_filter_programs_get_it(name: str):
    """Shows that the set can tell; only programs that leave nothing behind."""
    server = ForkServer((), isolation="none")
    try:
        assert "ESCAPED" in server.run(START + KERNEL[name], 10.0, 256).stdout
    finally:
        server.close()


@pytest.mark.parametrize("name", MEMORY)
def test_all_memory_of_a_program_counts_once(name: str):
    outcomes, source = MEMORY[name]
    result = run_program(START + source, timeout=15)
    assert result.outcome in outcomes.split(), result
    assert run_program("print(open('/proc/sysvipc/shm').read().count('\\n'))").stdout == "1\n"


def test_locks_on_files_of_the_host_have_no_effect():
    thread = threading.Thread(target=run_program, args=(START + LOCKS, 2.0))
    thread.start()
    deadline = time.monotonic() + 2.0
    with open(os.__file__) as file:
        while time.monotonic() < deadline:  # at any moment, also while the program holds them
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(0.02)
    thread.join()
    assert run_program(START + LOCKS.replace("time.sleep(600)", "")).stdout == "held\n"


def test_programs_share_no_session_keyring():
    """Without the filter, which closes keyrings altogether: what one program leaves there no other finds."""
    add = START + "print(libc.syscall(CALL['add_key'], b'user', b'rho1bench-left', b'word', 4, -3))"
    look = START + "print(libc.syscall(CALL['keyctl'], 10, -3, b'user', b'rho1bench-left', 0))"
    server = ForkServer((), isolation="none")
    try:
        if int(server.run(add, 5.0, 256).stdout) < 0:
            pytest.skip("this kernel has no keyrings for this user")
        assert int(server.run(add + "\n" + look, 5.0, 256).stdout.split()[1]) > 0
        assert server.run(look, 5.0, 256).stdout == "-1\n"
    finally:
        server.close()


def answer(machine: str, architecture: int, number: int, arguments: tuple[int, ...] = ()) -> str | int:
    """Carry the filter out on one call: "allow", or the error that the call ends with."""
    words = [
        number,
        architecture,
        0,
        0,
        *(part for value in (*arguments, *[0] * 6) for part in (value & 0xFFFFFFFF, 0)),
    ]
    steps, place, held = seccomp.program(machine), 0, 0
    while True:
        operation, if_true, if_false, operand = steps[place]
        place += 1
        if operation == 0x06:
            return "allow" if operand == 0x7FFF0000 else operand & 0xFFFF
        if operation == 0x20:
            held = words[operand // 4]
        else:
            test = {0x15: held == operand, 0x35: held >= operand, 0x45: bool(held & operand)}[operation]
            place += if_true if test else if_false


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_the_filter_answers_every_call_as_its_table_says(machine: str):
    architecture, column = seccomp.ARCHITECTURES[machine]
    listed = set()
    for table, expected in (
        (seccomp.UNAVAILABLE, errno.ENOSYS),
        (seccomp.FORBIDDEN, errno.EPERM),
        (seccomp.WITHOUT_EFFECT, 0),
    ):
        for name, numbers in table.items():
            if numbers[column] != seccomp.NONE:
                assert answer(machine, architecture, numbers[column]) == expected, name
                listed.add(numbers[column])
    partly = {seccomp.FCNTL[column], seccomp.CLONE[column], seccomp.SOCKET[column], seccomp.SOCKETPAIR[column]}
    assert not listed & partly
    for number in set(range(600)) - listed - partly:
        assert answer(machine, architecture, number) == "allow"
    assert answer(machine, architecture ^ 1, 0) == errno.ENOSYS
    assert answer(machine, architecture, 0x40000000) == errno.ENOSYS


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_the_filter_looks_at_arguments(machine: str):
    architecture, column = seccomp.ARCHITECTURES[machine]

    def asked(numbers: tuple[int, int], *arguments: int) -> str | int:
        return answer(machine, architecture, numbers[column], arguments)

    assert [asked(seccomp.FCNTL, 3, command) for command in (0, 3, 5, 6, 7, 37, 38, 1024, 1026, 1030)] == [
        "allow", "allow", "allow", 0, 0, 0, 0, errno.EPERM, errno.EPERM, "allow",
    ]  # fmt: skip
    assert asked(seccomp.FCNTL, 6, 1) == "allow"
    assert [asked(seccomp.CLONE, flags) for flags in (17, 0x3D0F00, 0x10000011, 0x00020011, 0x40000011)] == [
        "allow", "allow", errno.EPERM, errno.EPERM, errno.EPERM,
    ]  # fmt: skip
    for numbers in (seccomp.SOCKET, seccomp.SOCKETPAIR):
        assert [family for family in range(50) if asked(numbers, family) == "allow"] == [1, 2, 10]
        assert asked(numbers, 16) == errno.EAFNOSUPPORT


def test_a_machine_whose_calls_are_not_known_is_refused():
    with pytest.raises(OSError, match="no numbers of system calls are known for pdp11"):
        seccomp.program("pdp11")
    assert CALLS["keyctl"] == {"x86_64": 250, "aarch64": 219}[platform.machine()]
