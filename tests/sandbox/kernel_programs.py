"""Programs that reach for what the kernel does not divide between namespaces, and for memory that no limit counts.

``CALL["name"]`` is the number of a system call; ``ESCAPED`` is printed by a program that got what it wanted.
"""

from __future__ import annotations

import platform

from rho1bench.sandbox.inside import seccomp

COLUMN = seccomp.ARCHITECTURES[platform.machine()][1]
CALLS = {
    name: numbers[COLUMN]
    for table in (seccomp.UNAVAILABLE, seccomp.FORBIDDEN, seccomp.WITHOUT_EFFECT)
    for name, numbers in table.items()
} | {"clone": seccomp.CLONE[COLUMN]}

START = f"""
import ctypes, fcntl, mmap, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
CALL = {CALLS!r}
def got(result):
    if result >= 0: print('ESCAPED', result)
def call(name, *arguments):
    got(libc.syscall(CALL[name], *arguments))
def opened(*arguments):
    try: socket.socket(*arguments); print('ESCAPED')
    except OSError: pass
buffer = ctypes.create_string_buffer(4096)
"""

KERNEL = {
    "io_uring": "call('io_uring_setup', 8, buffer)",
    "userfaultfd": "call('userfaultfd', 0); call('userfaultfd', 1)",
    "fanotify": "call('fanotify_init', 0x200, 0); call('fanotify_init', 0, 0)",
    "inotify": "call('inotify_init1', 0); call('inotify_init1', 0o2000000)",
    "netlink": "for kind in range(23): opened(socket.AF_NETLINK, socket.SOCK_RAW, kind)",
    "vsock": "opened(40, socket.SOCK_STREAM); opened(40, socket.SOCK_DGRAM)",
    "crypto sockets": "opened(38, socket.SOCK_SEQPACKET)",
    "bluetooth and the like": "for family in range(3, 46):\n    if family != 10: opened(family, socket.SOCK_RAW)",
    "session keyring": "call('keyctl', 0, -3, 1); call('keyctl', 6, -3, buffer)",
    "user keyring": "call('keyctl', 0, -4, 1); call('keyctl', 11, -4, buffer, 4096)",
    "a keyring by name": "call('keyctl', 1, b'shared')",
    "adds a key": "call('add_key', b'user', b'left', b'word', 4, -3)",
    "asks for a key": "call('request_key', b'user', b'left', None, -3)",
    "performance counters": "call('perf_event_open', buffer, 0, -1, -1, 0)",
    "BPF": "call('bpf', 0, buffer, 72); call('bpf', 5, buffer, 72)",
    "kernel log": "call('syslog', 3, buffer, 4096); call('syslog', 10, None, 0)",
    "memfd": "call('memfd_create', b'left', 0); call('memfd_secret', 0)",
    "memfd by Python": "try: os.memfd_create('left'); print('ESCAPED')\nexcept OSError: pass",
    "segments": "call('shmget', 77, 64 << 20, 0o1666); call('shmget', 0, 4096, 0o1666)",
    "semaphores": "call('semget', 77, 250, 0o1666)",
    "messages": "call('msgget', 77, 0o1666)",
    "message queue": "call('mq_open', b'left', 0o102, 0o666, None)",
    "namespaces": "for bit in range(32):\n    if 0x7E020080 & 1 << bit: call('unshare', 1 << bit)",
    "namespaces by clone": (
        "for flag in (0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x02000000):\n"
        "    pid = libc.syscall(CALL['clone'], flag | 17, 0, 0, 0, 0)\n    if pid == 0: os._exit(0)\n    got(pid)"
    ),
    "namespaces by clone3": (
        "import struct\npid = libc.syscall(CALL['clone3'], struct.pack('8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0), 64)\n"
        "if pid == 0: os._exit(0)\ngot(pid)"
    ),
    "namespaces of others": "call('setns', os.open('/proc/self/ns/net', os.O_RDONLY), 0)",
    "attaches": "call('ptrace', 16, 1, 0, 0); call('ptrace', 0x4206, 1, 0, 0); call('ptrace', 0, 0, 0, 0)",
    "memory of others": "call('process_vm_readv', 1, buffer, 1, buffer, 1, 0)",
    "descriptors of others": "call('pidfd_getfd', os.pidfd_open(1), 0, 0)",
    "handles of files": "call('name_to_handle_at', -100, b'/', buffer, buffer, 0)",
    "detached mounts": "call('open_tree', -100, b'/', 1); call('fsopen', b'tmpfs', 0)",
    "holds a file of the host": (
        "with open(os.__file__) as file:\n    for kind in (0, 1):\n"
        "        try: fcntl.fcntl(file, 1024, kind); print('ESCAPED')\n        except OSError: pass"
    ),
    "watches a folder of the host": (
        "try: fcntl.fcntl(os.open(os.path.dirname(os.__file__), os.O_RDONLY), 1026, 0x80000001); print('ESCAPED')\n"
        "except OSError: pass"
    ),
}  # fmt: skip
"""Each ends by itself and prints nothing."""

FILL = """
def fill(size):
    area = mmap.mmap(-1, size, flags=FLAGS)
    for place in range(0, size, 4096): area[place] = 1
    return area
"""

SHARED = FILL.replace("FLAGS", "mmap.MAP_SHARED | mmap.MAP_ANONYMOUS")
PRIVATE = FILL.replace("FLAGS", "mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS")
CHILDREN = """
for _ in range(4):
    if os.fork() == 0:
        area = fill(200 << 20); time.sleep(600)
time.sleep(600)
"""
MEMORY = {
    "shared pages": ("memory error", SHARED + "areas = [fill(100 << 20) for _ in range(9)]\ntime.sleep(600)"),
    "shared pages of many processes": ("memory", SHARED + CHILDREN),
    "private pages of many processes": ("memory", PRIVATE + CHILDREN),
    "shared pages handed on": (
        "memory",
        SHARED + "for _ in range(9):\n    area = fill(100 << 20)\n    if os.fork() == 0: time.sleep(600)\n"
        "    area.close()\ntime.sleep(600)",
    ),
    "a file in memory": (
        "error", "with open('/dev/shm/left', 'wb') as file:\n    while True: file.write(bytes(1 << 20))",
    ),
    "shared pages within the limit": (
        "ok",
        SHARED + "area = fill(200 << 20)\nfor _ in range(5):\n    if os.fork() == 0:\n"
        "        sum(area[place] for place in range(0, 200 << 20, 4096)); time.sleep(0.7); os._exit(0)\n"
        "for _ in range(5): os.wait()",
    ),
}  # fmt: skip
"""Outcomes and programs; the limit is 512 MiB."""

LOCKS = """
file = open(os.__file__)
fcntl.flock(file, fcntl.LOCK_EX)
fcntl.lockf(file, fcntl.LOCK_SH)
for name in ('sync', 'syncfs', 'fsync', 'fdatasync', 'msync'):
    if libc.syscall(CALL[name], file.fileno(), 0, 0, 0) != 0: print(name)
print('held', flush=True)
time.sleep(600)
"""
