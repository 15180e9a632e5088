"""Programs to be tested: such as get by without the right answers, and right ones that end in odd ways."""

from __future__ import annotations

GOOD = "def f(x):\n    return x + 1\n"
BAD = "def f(x):\n    return x\n"

FORGERIES = {
    "exit()": BAD + "exit()",
    "exit before": "exit()\n" + GOOD,
    "quit()": BAD + "quit()",
    "sys.exit(0)": BAD
    + """
import sys
sys.exit(0)
""",
    "os._exit(0)": BAD
    + """
import os
os._exit(0)
""",
    "exit in the function": """
def f(x):
    exit(0)
""",
    "sys.exit in the function": """
import sys
def f(x):
    sys.exit(0)
""",
    "os._exit in the function": """
import os
def f(x):
    os._exit(0)
""",
    "nothing at all": "",
    "execs true": """
import os
def f(x):
    os.execv('/bin/true', ['true'])
""",
    "execs true at once": """
import os
os.execv('/bin/true', ['true'])
""",
    "forks and leaves": """
import os
def f(x):
    if os.fork(): os._exit(0)
""",
    "unittest.main": BAD
    + """
import unittest
unittest.main()
""",
    "exit handler": BAD
    + """
import atexit, os
atexit.register(os._exit, 0)
""",
    "excepthook": BAD
    + """
import sys, os
sys.excepthook = lambda *a: os._exit(0)
""",
    "no AssertionError": BAD
    + """
import builtins
class Fine(BaseException): pass
builtins.AssertionError = Fine
""",
    "equals everything": """
class A:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = None
def f(x):
    return A()
""",
    "an int that equals everything": """
class A(int):
    def __eq__(self, other): return True
    __hash__ = None
def f(x):
    return A(7)
""",
    "patches comparisons": BAD
    + """
import operator
operator.eq = lambda a, b: True
""",
    "patches compile and exec": BAD
    + """
import builtins
builtins.compile = lambda *a, **k: ''
builtins.exec = lambda *a: None
""",
    "patches json": BAD
    + """
import json
json.dumps = lambda *a, **k: '{"value": 3}'
""",
    "traces": BAD
    + """
import sys
def t(frame, *a):
    frame.f_locals.clear()
    return t
sys.settrace(t)
""",
    "reads the caller's constants": """
import sys
def f(x):
    frame = sys._getframe()
    while frame := frame.f_back:
        for c in frame.f_code.co_consts:
            if isinstance(c, int) and c > 2: return c
""",
    "looks for the tests": """
import gc, os
def f(x):
    for o in gc.get_objects():
        if isinstance(o, str) and 'assert f(' in o:
            import re; return int(re.findall('== (.*)', o)[0])
        if isinstance(o, dict):
            for v in list(o.values()):
                if isinstance(v, str) and v.startswith('assert f('): return x + 1
""",
    "reads its own memory for the tests": """
import re
def f(x):
    with open('/proc/self/mem', 'rb', 0) as memory:
        for line in open('/proc/self/maps'):
            a, b = (int(p, 16) for p in line.split()[0].split('-'))
            try:
                memory.seek(a); data = memory.read(b - a)
            except (OSError, ValueError):
                continue
            if re.search(b'assert f[(]41[)] =' + b'= 42', data): return x + 1
""",
    "writes verdicts everywhere": """
import os, struct
def f(x):
    for fd in range(3, 64):
        try:
            os.write(fd, struct.pack('i', 0)); os.write(fd, b'\\0\\0\\0\\x02{}')
        except OSError: pass
""",
    "says that all is well": """
import json, os, struct
def f(x):
    data = json.dumps({'ended': 'exit', 'status': 0, 'seconds': 0.1, 'value': True, 'passed': True}).encode()
    for fd in range(3, 64):
        try: os.write(fd, struct.pack('!I', len(data)) + data)
        except OSError: pass
    os._exit(0)
""",
    "kills its tests": """
import os, signal
def f(x):
    for pid in range(2, 99):
        if pid != os.getpid():
            try: os.kill(pid, signal.SIGTERM)
            except OSError: pass
""",
    "looks into its tests": """
import os
def f(x):
    for pid in range(1, 99):
        for name in ('mem', 'fd/4', 'fd/3', 'environ'):
            if pid != os.getpid():
                try:
                    open(f'/proc/{pid}/{name}', 'rb'); return x + 1
                except OSError: pass
""",
    "raises what the tests catch": """
def f(x):
    raise KeyboardInterrupt
""",
    "never ends its answer": """
def f(x):
    while True: yield x
""",
}


RIGHT = {
    "plain": GOOD,
    "guarded input": GOOD
    + """
if __name__ == '__main__':
    print(f(int(input())))
""",
    "guarded exit": GOOD
    + """
if __name__ == '__main__':
    exit(f(0))
""",
    "guarded unittest": GOOD
    + """
import unittest
if __name__ == '__main__':
    unittest.main()
""",
    "a live thread": GOOD
    + """
import threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
""",
    "a live child": GOOD
    + """
import os, time
if os.fork() == 0: time.sleep(600)
""",
    "much output": GOOD + "for _ in range(40): print('x' * 100_000)",
    "output from the function": """
def f(x):
    print('x' * 3_000_000)
    return x + 1
""",
    "closed stdout": GOOD
    + """
import sys
sys.stdout.close()
""",
    "closed descriptors": GOOD
    + """
import os
os.close(0); os.close(1); os.close(2)
""",
    "an exit handler that fails": GOOD
    + """
import atexit, os
atexit.register(os._exit, 3)
""",
    "a hook that fails": GOOD
    + """
import sys
sys.excepthook = None
""",
    "names of Python's": GOOD + "len = set = abs = print = None",
    "no frames left": """
def f(x):
    return x + 1 if x < 3 else (lambda g: g(g, 960))(lambda g, n: g(g, n - 1) if n else x + 1)
""",
    "numpy": """
import numpy
def f(x):
    return numpy.int64(x) + numpy.int64(1)
""",
    "sympy": """
import sympy
def f(x):
    return sympy.Integer(x) + 1
""",
    "a fraction": """
from fractions import Fraction
def f(x):
    return Fraction(x) + 1
""",
    "dataclasses and pickle": """
import dataclasses, pickle
@dataclasses.dataclass
class A:
    n: int
def f(x):
    return pickle.loads(pickle.dumps(A(x + 1))).n
""",
}
