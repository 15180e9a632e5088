"""HumanEval and MBPP: the estimator, the programs, and the data sets' own solutions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from rho1bench.evaluation.harness.lm_eval_tasks import Tasks
from rho1bench.evaluation.tasks.code_tasks import CodeDoc, checks_of, pass_at_1, pass_at_10, pass_at_k, run_samples
from rho1bench.evaluation.tasks.mini_tasks import code_results

SLOW_SOLUTIONS = {123}
"""MBPP's own solution 123 computes for three seconds: on a busy machine it may pass the limit of ten."""


@pytest.mark.parametrize("num_samples", range(1, 9))
def test_pass_at_k_is_the_share_of_drawn_sets_with_a_hit(num_samples: int):
    checked = 0
    for num_passed, k in itertools.product(range(num_samples + 1), range(1, num_samples + 1)):
        sets = list(itertools.combinations([True] * num_passed + [False] * (num_samples - num_passed), k))
        exact = Fraction(sum(map(any, sets)), len(sets))
        assert pass_at_k(num_samples, num_passed, k) == pytest.approx(float(exact), abs=1e-12)
        checked += 1
    assert checked == num_samples * (num_samples + 1)


def test_pass_at_k_known_values_and_limits():
    assert pass_at_k(20, 0, 10) == 0.0
    assert pass_at_k(20, 11, 10) == 1.0
    assert pass_at_k(20, 1, 10) == pytest.approx(0.5)
    assert pass_at_k(20, 5, 1) == pytest.approx(0.25)
    for num_samples, num_passed, k in ((5, 2, 6), (5, 6, 1), (5, -1, 1), (5, 2, 0)):
        with pytest.raises(ValueError, match="not defined"):
            pass_at_k(num_samples, num_passed, k)


def test_outcomes_become_metrics():
    outcomes = [["ok"] * 5 + ["error"] * 10 + ["timeout"] * 5]
    assert pass_at_1({}, outcomes) == {"pass@1": pytest.approx(0.25)}
    assert pass_at_10({}, outcomes) == {"pass@10": pytest.approx(1 - 3003 / 184756)}


def test_samples_are_run_with_the_tests_of_their_document():
    docs = [
        {"before": f"def f{n}():\n", "after": f"assert f{n}() == {n}\n", "seconds": 3.0, "solution": ""} for n in (1, 2)
    ]
    completions = [
        ["    return 1", "    return 2", "    while True: pass"],
        ["    return 2", "    retur", "    return 2"],
    ]
    assert run_samples(completions, docs) == [["ok", "error", "timeout"], ["ok", "error", "ok"]]


ENDINGS = ["exit()", "quit()", "import sys; sys.exit(0)", "import os; os._exit(0)", "import unittest; unittest.main()"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("indent", ["", "    "])
def test_a_program_that_ends_before_its_tests_does_not_pass(ending: str, indent: str):
    humaneval: CodeDoc = {
        "task_id": 1, "prompt": "", "before": "def f(n):\n", "solution": "    return n + 1\n",
        "after": "def check(g):\n    assert g(1) == 2\ncheck(f)\n", "seconds": 5.0,
    }  # fmt: skip
    mbpp: CodeDoc = {
        "task_id": 1, "prompt": "", "before": "", "solution": "def f(n):\n    return n + 1",
        "after": "assert f(1) == 2\n", "seconds": 5.0,
    }  # fmt: skip
    for doc, wrong in (
        (humaneval, f"    n += 1\n{indent}{ending}"),
        (mbpp, f"def f(n):\n    n += 1\n{indent}{ending}"),
    ):
        assert run_samples([[wrong, doc["solution"]]], [doc]) == [["error", "ok"]]
        assert code_results(dict(doc), [wrong]) == {"pass@1": 0.0}
        assert code_results(dict(doc), [doc["solution"]]) == {"pass@1": 1.0}


def test_what_the_tests_take_from_the_program():
    before = "import math\n\ndef helper(x):\n    return x\n\ndef f(x):\n    '''text'''\n"
    found = checks_of(before, "    return helper(x)\n", "def check(g):\n    assert g(helper(1)) == 1\ncheck(f)\n")
    assert found["names"] == ["f"]
    assert found["setup"] == "import math\ndef helper(x):\n    return x"
    mbpp = "import heapq as h\nSIZE = 3\nclass Pair:\n    pass\ndef sum(a):\n    return len(a)\ndef other(): pass\n"
    found = checks_of("", mbpp, "assert sum([Pair(), SIZE]) == len(h.nlargest(2, [1, 2]))")
    assert found["names"] == ["Pair", "SIZE", "sum"]
    assert found["setup"] == "import heapq as h"


def _broken(doc: dict[str, Any]) -> str:
    """A solution that returns nothing of use, whatever the tests ask."""
    if doc["before"]:
        return "    return NotImplemented\n"
    return re.sub(r"\breturn\b", "return None and", doc["solution"])


@pytest.mark.parametrize(("name", "total", "step", "sampled"), [("humaneval", 164, 7, 24), ("mbpp", 500, 20, 25)])
def test_the_data_sets_own_solutions_pass_and_broken_ones_do_not(
    name: str, total: int, step: int, sampled: int, shared_data: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RHO1BENCH_DATA", str(shared_data / "data"))
    docs = list(Tasks().load([f"rho1_{name}_pass1"])[f"rho1_{name}_pass1"].eval_docs)
    assert len(docs) == total
    chosen = [doc for doc in docs[::step] if doc["task_id"] not in SLOW_SOLUTIONS]
    assert len(chosen) == sampled

    def passed(solution: Callable[[dict[str, Any]], str]) -> list[Any]:
        outcomes = run_samples([[solution(doc)] for doc in chosen], chosen)
        return [doc["task_id"] for doc, outcome in zip(chosen, outcomes, strict=True) if outcome == ["ok"]]

    assert passed(lambda doc: str(doc["solution"])) == [doc["task_id"] for doc in chosen]
    assert passed(_broken) == []
