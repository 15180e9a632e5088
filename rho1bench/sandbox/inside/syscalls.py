"""The few system calls that Python 3.11 has no function for; each raises ``OSError``."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
from enum import IntFlag

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
MNT_DETACH = 2
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
CAPABILITY_VERSION = 0x20080522
MOUNT_SETATTR = 442
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
KEYCTL = {"x86_64": 250, "aarch64": 219}
KEYCTL_JOIN_SESSION_KEYRING = 1

_libc = ctypes.CDLL(None, use_errno=True)


class Unshare(IntFlag):
    """Kinds of namespaces."""

    MOUNT = 0x00020000
    HOST_NAME = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NETWORK = 0x40000000


class Mount(IntFlag):
    """Flags of mount(2)."""

    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    BIND = 4096
    REC = 16384
    PRIVATE = 1 << 18


class Attribute(IntFlag):
    """Attributes of mount_setattr(2)."""

    RDONLY = 1
    NOSUID = 2


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def prctl(option: int, value: int) -> None:
    """Call prctl(2)."""
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def unshare(kinds: Unshare) -> None:
    """Call unshare(2)."""
    _check(_libc.unshare(int(kinds)), f"unshare {kinds!r}")


def mount(source: str, target: str, kind: str | None, flags: Mount, options: str | None = None) -> None:
    """Call mount(2)."""
    arguments = [text.encode() if text is not None else None for text in (source, target, kind)]
    data = options.encode() if options is not None else None
    _check(_libc.mount(*arguments, ctypes.c_ulong(int(flags)), data), f"mount {target}")


def set_attributes(path: str, attributes: Attribute) -> None:
    """Set attributes of the mount at ``path`` and of every mount below it."""
    setting = (ctypes.c_uint64 * 4)(int(attributes), 0, 0, 0)
    result = _libc.syscall(
        MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, ctypes.byref(setting), ctypes.sizeof(setting)
    )
    _check(result, f"mount_setattr {path}")


def pivot_root(folder: str) -> None:
    """Make ``folder``, a mount, the root of this process's mount namespace; let go of the old one."""
    os.chdir(folder)
    _check(_libc.syscall(PIVOT_ROOT[platform.machine()], b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every capability for good."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    _check(_libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())), "capset")


def address_space() -> int:
    """Return the bytes of address space that this process uses."""
    with open("/proc/self/statm", encoding="ascii") as handle:
        return int(handle.read().split()[0]) * resource.getpagesize()


def own_memory(pid: str) -> int:
    """Return the resident bytes of a process that are not pages of files."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as handle:
        _, resident, files, *_ = handle.read().split()
    return (int(resident) - int(files)) * resource.getpagesize()


def leave_keyring() -> None:
    """Take an empty session keyring in place of the caller's."""
    _check(min(0, _libc.syscall(KEYCTL[platform.machine()], KEYCTL_JOIN_SESSION_KEYRING, None)), "keyctl")


def children() -> list[int]:
    """Return the process ids of this process's children; empty where the kernel does not list them."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as handle:
            return [int(word) for word in handle.read().split()]
    except OSError:
        return []
