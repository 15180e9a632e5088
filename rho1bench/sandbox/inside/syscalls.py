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
MADV_COLLAPSE = 25
LARGE_PAGE = 2 << 20
MOUNT_SETATTR = 442
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
KEYCTL = {"x86_64": 250, "aarch64": 219}
SECCOMP = {"x86_64": 317, "aarch64": 277}
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
KEYCTL_JOIN_SESSION_KEYRING = 1


class _Filter(ctypes.Structure):
    """The kernel's ``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


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


def collapse(first: int, last: int) -> None:
    """Move memory of this process between two addresses into large pages, where the kernel can and has some left."""
    for place in range(-(-first // LARGE_PAGE) * LARGE_PAGE, last - LARGE_PAGE + 1, LARGE_PAGE):
        _libc.madvise(ctypes.c_void_p(place), ctypes.c_size_t(LARGE_PAGE), MADV_COLLAPSE)


def address_space() -> int:
    """Return the bytes of address space that this process uses."""
    with open("/proc/self/statm", encoding="ascii") as handle:
        return int(handle.read().split()[0]) * resource.getpagesize()


def set_filter(instructions: bytes) -> None:
    """Put a seccomp filter on this process for good; it has to have given up new privileges before."""
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    described = _Filter(len(instructions) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    # Without the flag, older kernels slow every process with a filter down.
    flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW
    number = SECCOMP[platform.machine()]
    _check(_libc.syscall(number, SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(described)), "seccomp")


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
