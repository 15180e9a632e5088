"""The system calls that a program does not get: a seccomp filter, put on its processes before they run it.

Three kinds. Calls that a program has no use for, and that reach the kernel where namespaces do not divide it (io_uring,
BPF, keyrings, netlink, vsock, new namespaces, debugging of others), are refused. Memory that no limit counts (memfd,
System V segments, POSIX message queues) is refused too. Calls that would hold up the host through files that a program
may read (``flock``, ``sync``) are answered with success and have no effect.

The filter is classic BPF (seccomp(2)); a call that is not listed is allowed. Not covered: the kernel memory of pipes
and sockets, which only the limits on processes and open files bound.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
from collections.abc import Sequence
from functools import cache

from rho1bench.sandbox.inside import syscalls

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""The kernel's name of each architecture, and its column in the tables of numbers."""
NONE = -1
"""A call that an architecture does not have."""

UNAVAILABLE = {
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "userfaultfd": (323, 282), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    "inotify_init": (253, NONE), "inotify_init1": (294, 26),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "shmctl": (31, 195), "shmat": (30, 196), "shmdt": (67, 197),
    "semget": (64, 190), "semctl": (66, 191), "semop": (65, 193), "semtimedop": (220, 192),
    "msgget": (68, 186), "msgctl": (71, 187), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "mq_open": (240, 180), "mq_unlink": (241, 181),
    "clone3": (435, 435),
}  # fmt: skip
"""Answered as by a kernel that has no such call; ``clone3`` because its flags cannot be looked at, and the C library
then takes ``clone``."""
FORBIDDEN = {
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "bpf": (321, 280), "perf_event_open": (298, 241), "syslog": (103, 116),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "quotactl": (179, 60),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "acct": (163, 89),
    "swapon": (167, 224), "swapoff": (168, 225), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171),
}  # fmt: skip
"""Answered with "operation not permitted"."""
WITHOUT_EFFECT = {
    "flock": (73, 32), "sync": (162, 81), "syncfs": (306, 267), "fsync": (74, 82), "fdatasync": (75, 83),
    "sync_file_range": (277, 84), "msync": (26, 227),
}  # fmt: skip
"""Answered with success; a program's own files are in memory, where there is nothing to wait for."""

FCNTL = (72, 25)
LOCKS = (6, 7, 37, 38)
"""F_SETLK, F_SETLKW and the two of open file descriptions: without effect, like ``flock``."""
NOTICES = (1024, 1026)
"""F_SETLEASE and F_NOTIFY, by which a program could hold up or watch the host's use of a file."""
SOCKET, SOCKETPAIR = (41, 198), (53, 199)
FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
CLONE = (56, 220)
NEW_NAMESPACES = 0x7E020000
"""The flags of clone(2) that make namespaces."""
FOREIGN = 0x40000000
"""Numbers from here on are calls of a second table of x86-64."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000

Instruction = tuple[int, int, int, int]
"""Operation, how many instructions to skip if true and if false, operand."""


def install() -> None:
    """Put the filter on this process and its children for good. Raises ``OSError`` where there is no filter to put."""
    syscalls.set_filter(packed_filter())


@cache
def packed_filter() -> bytes:
    """Return the filter as the kernel reads it; made once, before programs are forked. Raises ``OSError``."""
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program(platform.machine()))


def program(machine: str) -> list[Instruction]:
    """Return the filter for a kind of machine. Raises ``OSError`` for one whose calls are not known."""
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no numbers of system calls are known for {machine}")
    architecture, column = ARCHITECTURES[machine]
    filtered: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        _answer(errno.ENOSYS),  # a call of 32-bit programs
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, FOREIGN),
        _answer(errno.ENOSYS),
    ]
    for calls, error in ((UNAVAILABLE, errno.ENOSYS), (FORBIDDEN, errno.EPERM), (WITHOUT_EFFECT, 0)):
        for numbers in calls.values():
            if numbers[column] != NONE:
                filtered += [(_EQUAL, 0, 1, numbers[column]), _answer(error)]
    filtered += _if_argument(FCNTL[column], 1, _EQUAL, LOCKS, 0)
    filtered += _if_argument(FCNTL[column], 1, _EQUAL, NOTICES, errno.EPERM)
    filtered += _if_argument(CLONE[column], 0, _ANY_BIT, (NEW_NAMESPACES,), errno.EPERM)
    for numbers in (SOCKET, SOCKETPAIR):
        filtered += _unless_argument(numbers[column], 0, FAMILIES, errno.EAFNOSUPPORT)
    return [*filtered, (_RETURN, 0, 0, _ALLOW)]


def _answer(error: int) -> Instruction:
    return (_RETURN, 0, 0, _ERROR | error)


def _if_argument(number: int, place: int, test: int, values: Sequence[int], error: int) -> list[Instruction]:
    """Answer ``number`` with ``error`` if its argument at ``place`` passes the test with one of ``values``."""
    answers = [step for value in values for step in ((test, 0, 1, value), _answer(error))]
    return _for_call(number, place, answers)


def _unless_argument(number: int, place: int, values: Sequence[int], error: int) -> list[Instruction]:
    """Answer ``number`` with ``error`` unless its argument at ``place`` is one of ``values``."""
    accepted = [(_EQUAL, len(values) - position, 0, value) for position, value in enumerate(values)]
    return _for_call(number, place, [*accepted, _answer(error)])


def _for_call(number: int, place: int, steps: list[Instruction]) -> list[Instruction]:
    """Take ``steps`` with the low half of an argument of ``number``, then go on with the number itself."""
    whole = [(_LOAD, 0, 0, _ARGUMENT + 8 * place), *steps, (_LOAD, 0, 0, _NUMBER)]
    return [(_EQUAL, 0, len(whole), number), *whole]
