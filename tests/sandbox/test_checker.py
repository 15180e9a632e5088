"""Programs under test: a pass is that all tests ran and held, whatever the program does to get by without."""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tested_programs import BAD, FORGERIES, GOOD, RIGHT

from rho1bench.sandbox import Checks, check_programs
from rho1bench.sandbox.fork_server import ForkServer
from rho1bench.sandbox.inside.values import decode, encode

TESTS = "assert f(2) == 3\nassert f(-1) == 0\nassert f(41) == 42\n"


def checks(tests: str = TESTS, *names: str, setup: str = "") -> Checks:
    return Checks(setup=setup, tests=tests, names=list(names or ("f",)))


def outcome(source: str, what: Checks | None = None, timeout: float = 10.0) -> tuple[str, str]:
    (result,) = check_programs([(source, what or checks())], timeout)
    return result.outcome, result.error


@pytest.mark.parametrize("name", FORGERIES)
def test_no_program_passes_without_the_right_answers(name: str):
    found, error = outcome(FORGERIES[name])
    assert found in ("error", "killed"), (found, error)
    assert error


@pytest.mark.parametrize("name", RIGHT)
def test_right_programs_pass_however_they_end(name: str):
    assert outcome(RIGHT[name]) == ("ok", "")


@pytest.mark.parametrize(
    ("source", "found", "error"),
    [
        (BAD, "error", "AssertionError"),
        ("def g(x): pass", "error", "NameError: name 'f' is not defined"),
        ("def f(:", "error", "SyntaxError: invalid syntax"),
        ("1 / 0", "error", "ZeroDivisionError: division by zero"),
        ("def f(x): return 1 / 0", "error", "ZeroDivisionError: division by zero"),
        ("def f(x): return {}[x]", "error", "KeyError: '2'"),
        ("def f(x): raise UserWarning('no')", "error", "UserWarning: no"),
        ("class E(ValueError): pass\ndef f(x): raise E('own')", "error", "ValueError: own"),
        ("def f(x): return f(x)", "error", "RecursionError: maximum recursion depth exceeded"),
        ("import os\ndef f(x): os.kill(os.getpid(), 9)", "error", "the program ended before its tests did"),
        ("def f(x): return [0] * 10**10", "memory", "MemoryError"),
        ("x = [0] * 10**10", "memory", "MemoryError"),
        ("exit()", "error", "SystemExit: None"),
    ],
)
def test_a_failure_says_what_failed(source: str, found: str, error: str):
    assert outcome(source) == (found, error)


def test_an_endless_program_is_out_of_time():
    assert outcome("def f(x):\n    while True: pass", timeout=0.5)[0] == "timeout"
    assert outcome("while True: pass", timeout=0.5)[0] == "timeout"


def test_objects_of_the_program_can_be_used_by_its_tests():
    source = (
        "class Node:\n    def __init__(self, value): self.value, self.next = value, None\n"
        "    def __eq__(self, other): return self.value == other.value\n"
        "    def __str__(self): return f'<{self.value}>'\n    def __getitem__(self, key): return key\n"
        "    def __len__(self): return 7\n    def __bool__(self): return False\n"
        "def walk(node):\n    while node is not None:\n        yield node.value\n        node = node.next\n"
        "def adder(n): return lambda x, *, twice=False: (x + n) * (1 + twice)\n"
    )
    tests = (
        "a, b = Node(1), Node(2)\na.next = b\nassert list(walk(a)) == [1, 2] and next(walk(b)) == 2\n"
        "assert a.next.value == 2 and adder(2)(3, twice=True) == 10\n"
        "assert a != b and a == Node(1) and a != 1 and not a\n"
        "assert str(a) == '<1>' and a['k'] == 'k' and len(a) == 7\n"
        "assert 2 in walk(a) and 3 not in walk(a)\nassert sorted(walk(a), reverse=True) == [2, 1]\n"
    )
    assert outcome(source, checks(tests, "Node", "walk", "adder")) == ("ok", "")


def test_the_setup_belongs_to_the_tests():
    what = checks("assert f(2) == helper(2)", "f", setup="import math\ndef helper(x): return math.floor(x + 1.5)")
    assert outcome(GOOD, what) == ("ok", "")
    assert outcome("def helper(x): return x\n" + BAD, what) == ("error", "AssertionError")


def test_tests_run_without_isolation_too():
    server = ForkServer((), isolation="none")
    try:
        ends = [server.run(source, 5.0, 256, checks()) for source in (GOOD, BAD, "exit()")]
    finally:
        server.close()
    assert [end.status == 0 for end in ends] == [True, False, False]


PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5)
    | st.complex_numbers(allow_nan=False) | st.fractions() | st.decimals(allow_nan=False)
    | st.builds(range, st.integers(-9, 9), st.integers(-9, 9))
)  # fmt: skip


def containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    lists = st.lists(inner, max_size=3)
    sets = st.sets(st.integers()) | st.frozensets(st.text())
    return lists | lists.map(tuple) | lists.map(deque) | st.dictionaries(st.text(), inner) | sets


VALUES = st.recursive(PLAIN, containers)


def never(_: object) -> int:
    raise AssertionError("not plain data")


def travelled(value: object) -> object:
    return decode(json.loads(json.dumps(encode(value, never))), never)


@settings(max_examples=100)
@given(VALUES)
def test_plain_values_arrive_as_they_were(value: object):
    arrived = travelled(value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_derived_values_arrive_as_plain_ones():
    big = 7**9000
    assert travelled([big, -big, {1: 2}.keys()]) == [big, -big, {1}]
    assert type(travelled(OrderedDict(a=1))) is dict
    assert travelled((float("inf"), Fraction(1, 3), Decimal("0.10"), bytearray(b"a"))) == (
        float("inf"), Fraction(1, 3), Decimal("0.10"), bytearray(b"a"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "data", [{"eval": "1"}, {"range": ["x"]}, {"set": [[]]}, {"a": 1, "b": 2}, {"fraction": ["1", "0"]}]
)
def test_what_no_program_would_send_is_refused(data: object):
    with pytest.raises((ValueError, TypeError, ArithmeticError)):
        decode(data, never)


def test_the_error_of_a_set_of_tests_is_one_line():
    assert re.fullmatch("AssertionError: not .*", outcome(GOOD, checks("assert f(1) == 1, 'not equal'"))[1])
