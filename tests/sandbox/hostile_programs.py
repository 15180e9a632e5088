"""Programs that try to break out, to break the machine, or to pass for something else.

Each prints ESCAPED if it got what it wanted; SECRET, PORT and the like are filled in by the test.
"""

from __future__ import annotations

TRY = """
import os, sys, socket, signal, time, ctypes
libc = ctypes.CDLL(None, use_errno=True)
def attempt(action):
    try:
        return action()
    except BaseException as error:
        print(type(error).__name__)
"""

# name: (outcomes that may be reported, program)
EXHAUSTION = {
    "endless loop": ("timeout", "while True: pass"),
    "sleeps": ("timeout", "import time; time.sleep(600)"),
    "stops itself": ("timeout", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"),
    "ignores signals": (
        "timeout",
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\n"
        "while True: pass",
    ),
    "endless exit handler": ("timeout", "import atexit, time\natexit.register(time.sleep, 600)"),
    "waits for a thread": ("timeout", "import threading as t, time\nt.Thread(target=time.sleep, args=(600,)).start()"),
    "fork bomb": ("error timeout memory", "import os\nwhile True: os.fork()"),
    "patient fork bomb": (
        "timeout memory",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    ),
    "hundred gigabytes": ("memory", "x = bytearray(100 << 30)"),
    "memory bit by bit": ("memory", "x = []\nwhile True: x.append(bytearray(1 << 20))"),
    "memory by a power": ("memory timeout", "x = 10 ** (10 ** 11)"),
    "memory of many processes": (
        "memory",
        "import os, time\nfor _ in range(40):\n    if os.fork() == 0:\n"
        "        x = bytearray(b'x' * (200 << 20)); time.sleep(600)\ntime.sleep(600)",
    ),
    "output": ("output_limit", "import sys\nfor _ in range(10 << 10): sys.stdout.write('x' * (1 << 20))"),
    "output from below": ("output_limit", "import os\nwhile True: os.write(2, b'y' * 65536)"),
    "long last words": ("output_limit", "raise ValueError('x' * (50 << 20))"),
    "one large file": ("error killed", "f = open('big', 'wb')\nwhile True: f.write(b'x' * (1 << 20))"),
    "many large files": (
        "error",
        "n = 0\nwhile True:\n    with open(f'f{n}', 'wb') as f: f.write(b'x' * (3 << 20))\n    n += 1",
    ),
    "many small files": ("error", "n = 0\nwhile True:\n    open(f'f{n}', 'w').close()\n    n += 1"),
    "deep recursion": (
        "killed memory error timeout",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return [f()]\nf()",
    ),
    "deep in C": ("killed memory error", "x = ()\nfor _ in range(10**6): x = (x,)\nprint(hash(x))"),
    "thread storm": (
        "error",
        "import threading as t, time\nwhile True: t.Thread(target=time.sleep, args=(9,), daemon=True).start()",
    ),
    "descriptors": ("error", "import os\nx = []\nwhile True: x.append(os.dup(1))"),
    "crash": ("killed", "import ctypes\nctypes.string_at(0)"),
    "abort": ("killed", "import os\nos.abort()"),
    "leaves at once": ("error", "import os\nos._exit(7)"),
    "raises its limits": ("error", "import resource as r\nr.setrlimit(r.RLIMIT_AS, (-1, -1))"),
}  # fmt: skip

ESCAPES = {
    "kills its parent": "attempt(lambda: os.kill(os.getppid(), 9)); time.sleep(0.2); print('alive')",
    "stops its parent": "attempt(lambda: os.kill(os.getppid(), signal.SIGSTOP)); print('alive')",
    "kills everybody": "attempt(lambda: os.kill(-1, 9)); print('alive')",
    "kills a process of the host": "attempt(lambda: (os.kill(HOST_PID, 9), print('ESCAPED')))",
    "kills its group": "attempt(lambda: os.killpg(os.getpgid(os.getppid()) or 1, 9)); print('alive')",
    "environment": (
        "import glob\nprint(dict(os.environ))\nfor path in glob.glob('/proc/*/environ'):\n"
        "    data = attempt(lambda: open(path, 'rb').read())\n    if data and b'WORD' in data: print('ESCAPED')"
    ),
    "other processes": (
        "pids = [int(name) for name in os.listdir('/proc') if name.isdigit()]\n"
        "if set(pids) - {1, os.getpid()}: print('ESCAPED', pids)"
    ),
    "memory of its parent": "attempt(lambda: (open('/proc/1/mem', 'rb'), print('ESCAPED')))",
    "descriptors of its parent": "attempt(lambda: os.listdir('/proc/1/fd') and print('ESCAPED'))",
    "root of its parent": "attempt(lambda: os.listdir('/proc/1/root/') and print('ESCAPED'))",
    "ptrace of its parent": "print('ESCAPED' if libc.ptrace(16, 1, 0, 0) == 0 else 'refused')",
    "reads a secret": "attempt(lambda: (open('SECRET').read(), print('ESCAPED')))",
    "reads a secret by a shell": "attempt(lambda: os.system('cat SECRET && echo ESCAPED'))",
    "becomes another program": "attempt(lambda: os.execv('/bin/sh', ['sh', '-c', 'cat SECRET && echo ESCAPED']))",
    "home": (
        "for path in ('HOME', '/root', '/home', '/etc/passwd', '/etc/shadow', 'REPOSITORY/pyproject.toml'):\n"
        "    if os.path.exists(path) and (not os.path.isdir(path) or set(os.listdir(path)) - SHOWN):\n"
        "        print('ESCAPED', path)"
    ),
    "writes outside": (
        "import sysconfig\nfor folder in ('/', '/usr', '/etc', '/dev', '/proc', '/opt', '/home', '/var/tmp', '/run',\n"
        "    sysconfig.get_path('purelib'), sysconfig.get_path('stdlib'), os.path.dirname(sys.executable), 'FOLDER'):\n"
        "    attempt(lambda: (open(folder + '/written', 'w'), print('ESCAPED', folder)))"
    ),
    "symbolic link": "os.symlink('SECRET', 'link'); attempt(lambda: (open('link').read(), print('ESCAPED')))",
    "hard link": "attempt(lambda: (os.link('SECRET', 'link'), print('ESCAPED')))",
    "climbs": "attempt(lambda: (open('../' * 20 + 'SECRET').read(), print('ESCAPED')))",
    "TCP": "attempt(lambda: (socket.create_connection(('127.0.0.1', PORT), 2), print('ESCAPED')))",
    "UDP": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "attempt(lambda: (s.sendto(b'ESCAPED', ('127.0.0.1', UDP_PORT)), print('ESCAPED')))"
    ),
    "names": "attempt(lambda: (socket.getaddrinfo('example.com', 80), print('ESCAPED')))",
    "Unix socket": ("s = socket.socket(socket.AF_UNIX)\nattempt(lambda: (s.connect('UNIX_PATH'), print('ESCAPED')))"),
    "abstract socket": (
        "s = socket.socket(socket.AF_UNIX)\nattempt(lambda: (s.connect('\\0ABSTRACT'), print('ESCAPED')))"
    ),
    "raw packets": "attempt(lambda: (socket.socket(socket.AF_PACKET, socket.SOCK_RAW), print('ESCAPED')))",
    "becomes root": "attempt(lambda: (os.setuid(0), print('ESCAPED')))",
    "runs a setuid program": "attempt(lambda: os.system('su -c \"echo ESCAPED\" </dev/null 2>/dev/null'))",
    "mounts": "print('ESCAPED' if libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None) == 0 else 'refused')",
    "unmounts": "print('ESCAPED' if libc.umount2(b'/proc', 2) == 0 else 'refused')",
    "new user namespace": "print('ESCAPED' if libc.unshare(0x10000000) == 0 else 'refused')",
    "allows user namespaces": (
        "attempt(lambda: (open('/proc/sys/user/max_user_namespaces', 'w').write('9'), print('ESCAPED')))"
    ),
    "changes its root": "attempt(lambda: (os.chroot('/usr'), print('ESCAPED')))",
    "makes a device": "attempt(lambda: (os.mknod('disk', 0o60600, os.makedev(8, 0)), print('ESCAPED')))",
    "changes the host's name": "attempt(lambda: (socket.sethostname('escaped'), print('ESCAPED')))",
    "closes its pipes": "os.closerange(0, 1024)",
    "forges a report": (
        "import json, struct\n"
        "data = json.dumps({'ended': 'exit', 'status': 0, 'seconds': 0.0}).encode()\n"
        "for fd in range(3, 1024):\n    attempt(lambda: os.write(fd, struct.pack('!I', len(data)) + data))\n"
        "sys.exit('forged')"
    ),
    "leaves a daemon": (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        os.execv('/bin/sleep', ['sleep', 'DAEMON_SECONDS'])\n    os._exit(0)\n"
        "os.wait(); time.sleep(0.3); print('left')"
    ),
}
"""Each is to end by itself (``ok`` or ``error``) within the time limit."""
