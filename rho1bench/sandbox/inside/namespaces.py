"""Isolation of programs by Linux namespaces.

``build_root`` gives the fork server a root file system of its own that shows what an interpreter needs, read-only, and
nothing else of the host (bubblewrap does the same where it is installed). ``unshare_namespaces`` and ``mount_scratch``
then give each program namespaces of its own: processes, users, network, IPC, host name, and mounts with an empty
scratch folder. The supervisor stays outside.
"""

from __future__ import annotations

import contextlib
import os

from rho1bench.sandbox.inside import seccomp, syscalls
from rho1bench.sandbox.inside.syscalls import Attribute, Mount, Unshare

SCRATCH = "/tmp"
OTHER_SCRATCH = "/rho1bench-scratch"
"""The scratch folder where the interpreter or its packages lie in /tmp, which a mount would hide."""
SCRATCH_OPTIONS = "size=64m,nr_inodes=4096,mode=0755"
NOBODY = 65534
INNER_ID = 1000
DEVICES = ("null", "zero", "full", "random", "urandom")
EVERYTHING = Unshare.USER | Unshare.PID | Unshare.MOUNT | Unshare.NETWORK | Unshare.IPC | Unshare.HOST_NAME


def build_root(root: str, shown: list[str]) -> None:
    """Make ``root``, an empty folder, the root of this process, with the ``shown`` paths of the host in it, read-only.

    Root drops its privileges afterwards; others get the right to mount from a user namespace. Raises ``OSError``.
    """
    if os.geteuid() == 0:
        syscalls.unshare(Unshare.MOUNT)
    else:
        _own_user_namespace(Unshare.USER | Unshare.MOUNT)
    syscalls.mount("none", "/", None, Mount.REC | Mount.PRIVATE)
    syscalls.mount("tmpfs", root, "tmpfs", Mount.NOSUID, "size=1m,mode=0755")
    for path in shown:
        _show(path, root + path)
    _show_devices(root)
    for folder in ("/proc", SCRATCH, OTHER_SCRATCH):
        os.makedirs(root + folder, exist_ok=True)
    syscalls.set_attributes(root, Attribute.RDONLY | Attribute.NOSUID)
    syscalls.mount(
        "/proc", f"{root}/proc", None, Mount.BIND | Mount.REC
    )  # for the supervisors; each program has its own
    syscalls.pivot_root(root)


def _show(path: str, place: str) -> None:
    if os.path.islink(path):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if not os.path.lexists(place):
            os.symlink(os.readlink(path), place)
        return
    if os.path.isdir(path):
        os.makedirs(place, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        open(place, "x").close()
    syscalls.mount(path, place, None, Mount.BIND | Mount.REC)


def _show_devices(root: str) -> None:
    os.makedirs(f"{root}/dev/shm")
    for name in DEVICES:
        _show(f"/dev/{name}", f"{root}/dev/{name}")
    os.symlink("/proc/self/fd", f"{root}/dev/fd")


def drop_root() -> None:
    """Become nobody if this is root: the kernel then counts processes, and no file of root's can be changed."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # else /proc/self belongs to root, and no user namespace can be mapped


def unshare_namespaces() -> None:
    """Put the children that this process forks from now on into namespaces of their own. Raises ``OSError``."""
    _own_user_namespace(EVERYTHING)


def _own_user_namespace(kinds: Unshare) -> None:
    user, group = os.geteuid(), os.getegid()
    syscalls.unshare(kinds)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{INNER_ID} {user} 1"),
        ("gid_map", f"{INNER_ID} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as handle:
            handle.write(text)


def mount_scratch() -> None:
    """As the first process of new namespaces: see no process but one's own, write nowhere but in the scratch folder."""
    try:
        syscalls.mount("proc", "/proc", "proc", Mount.NOSUID | Mount.NODEV | Mount.NOEXEC)
        with open("/proc/sys/user/max_user_namespaces", "w", encoding="ascii") as handle:
            handle.write("0")
    except OSError:  # where the host's own /proc is partly hidden, a new one may not be mounted
        syscalls.mount("tmpfs", "/proc", "tmpfs", Mount.NOSUID | Mount.NODEV, "size=4k")
    syscalls.set_attributes("/", Attribute.RDONLY | Attribute.NOSUID)
    scratch = OTHER_SCRATCH if os.listdir(SCRATCH) else SCRATCH
    syscalls.mount("tmpfs", scratch, "tmpfs", Mount.NOSUID | Mount.NODEV, SCRATCH_OPTIONS)
    with contextlib.suppress(OSError):
        syscalls.mount(scratch, "/dev/shm", None, Mount.BIND)
    os.chdir(scratch)


def give_up_privileges() -> None:
    """Become a process that gains no right from what it runs, and that some system calls are closed to."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.drop_capabilities()
    seccomp.install()


def probe() -> None:
    """Isolate a process once, to see that it works here; raises ``OSError`` that says what does not."""
    seccomp.packed_filter()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            unshare_namespaces()
            first = os.fork()
            if first == 0:
                mount_scratch()
                give_up_privileges()
            else:
                os.waitpid(first, 0)
        except OSError as error:
            os.write(writer, str(error).encode("utf-8"))
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with open(reader, encoding="utf-8") as handle:
        reason = handle.read()
    if reason:
        raise OSError(reason)
