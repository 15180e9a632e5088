"""The worker pool: a hang, a crash or a memory bomb costs one answer; nothing from data is executed."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from rho1bench.grading import Grade, Verdict, grade_answer, grade_many
from rho1bench.grading.magnitude import TooLargeError, check_size, checked_power
from rho1bench.grading.paper.expressions import read_expression
from rho1bench.grading.pool import Question, WorkerPool, _verdict, shared_pool
from rho1bench.grading.worker import MEMORY_BYTES
from rho1bench.grading.worker_server import Worker, shared_server

HANGS = [r"(x+y+z+1)^{300}+3!", r"\sum_{n=1}^{1000000} \frac{1}{n^3}"]


def paper(pred: str, gold: str = "7") -> Question:
    return Question("paper", pred, gold, "math")


def test_a_hang_costs_one_answer(pool: WorkerPool) -> None:
    questions = [paper("x+1", "1+x"), paper(HANGS[0], "x"), paper("y+1", "1+y"), paper(r"\frac{2}{4}", "0.5")]
    assert pool.ask(questions, limit=1.0) == [Verdict.CORRECT, Verdict.TIMEOUT, Verdict.CORRECT, Verdict.CORRECT]


def test_the_limit_is_kept(pool: WorkerPool) -> None:
    began = time.monotonic()
    assert pool.ask([paper(HANGS[0], "x")], limit=0.5) == [Verdict.TIMEOUT]
    assert time.monotonic() - began < 10.0


def test_hangs_wait_until_the_rest_is_done(pool: WorkerPool) -> None:
    """In the first round a hang gets half a second of CPU time, however high the limit."""
    questions = [paper(HANGS[1], "x"), *(paper(f"x+{number}", f"{number}+x") for number in range(40))]
    verdicts = pool._round(questions, 0.5)
    assert verdicts.pop(questions[0]) is Verdict.TIMEOUT
    assert set(verdicts.values()) == {Verdict.CORRECT}


def test_equal_questions_are_asked_once_and_answers_keep_their_order(pool: WorkerPool) -> None:
    questions = [paper("x+1", "1+x"), paper("x+2", "1+x")] * 20
    assert pool.ask(questions) == [Verdict.CORRECT, Verdict.INCORRECT] * 20


@pytest.mark.parametrize("pred", [r"9^{9^{9^{9}}}", r"(10^{9})!", r"\binom{10^9}{10^8}", r"\alpha" * 600])
def test_what_could_only_time_out_is_refused_at_once(pool: WorkerPool, pred: str) -> None:
    began = time.process_time()
    assert pool.ask([paper(pred)]) == [Verdict.TIMEOUT]
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("pred", ["(" * 400 + "1" + ")" * 400, r"\sqrt{" * 300, "[1]*10**9", "'a'*10**9"])
def test_deep_and_large_answers_are_survived(pool: WorkerPool, pred: str) -> None:
    assert pool.ask([paper(pred)], limit=1.0)[0] in (Verdict.INCORRECT, Verdict.TIMEOUT)
    assert pool.ask([paper("x+1", "1+x")]) == [Verdict.CORRECT]


def test_a_killed_worker_is_replaced() -> None:
    workers = WorkerPool(1)
    assert workers.ask([paper("x+1", "1+x")]) == [Verdict.CORRECT]
    worker = workers._idle.queue[0]
    before = worker.pid
    assert before is not None
    for process in (before, *_children(before)):
        os.kill(process, signal.SIGKILL)
    assert workers.ask([paper("x+2", "2+x")]) == [Verdict.CORRECT]
    assert worker.pid not in (None, before)
    workers.close()
    assert worker.pid is None


def test_a_killed_server_is_replaced_and_its_workers_go_on() -> None:
    workers = WorkerPool(1)
    assert workers.ask([paper("x+1", "1+x")]) == [Verdict.CORRECT]
    worker = workers._idle.queue[0]
    before, server = worker.pid, shared_server()
    assert server._process is not None
    server._process.kill()
    server._process.wait()
    assert workers.ask([paper("x+2", "2+x")]) == [Verdict.CORRECT]
    assert worker.pid == before
    workers.close()
    assert workers.ask([paper("x+3", "3+x")]) == [Verdict.CORRECT]
    assert worker.pid not in (None, before)
    workers.close()


def test_a_worker_ends_with_its_caller_whatever_it_computes() -> None:
    worker = Worker()
    assert _verdict(worker, paper("x+1", "1+x"), 3.0) is Verdict.CORRECT
    assert worker.pid is not None
    processes = [worker.pid, *_children(worker.pid)]
    asking = threading.Thread(target=_verdict, args=(worker, paper(HANGS[0], "x"), 60.0))
    asking.start()
    time.sleep(0.3)
    worker.close()
    asking.join()
    deadline = time.monotonic() + 10.0
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _kill_children(process: int, stop: threading.Event, killed: list[int]) -> None:
    """Kill whatever the process has forked, again and again: the kernel short of memory does no worse."""
    while not stop.wait(0.1):
        for child in _children(process):
            os.kill(child, signal.SIGKILL)
            killed.append(child)


def test_a_computation_that_is_killed_each_time_costs_one_answer() -> None:
    workers = WorkerPool(1)
    assert workers.ask([paper("x+1", "1+x")]) == [Verdict.CORRECT]
    worker = workers._idle.queue[0]
    before = worker.pid
    assert before is not None
    stop, killed = threading.Event(), list[int]()
    killer = threading.Thread(target=_kill_children, args=(before, stop, killed))
    killer.start()
    verdict = _verdict(worker, paper(HANGS[0], "x"), 30.0)
    stop.set()
    killer.join()
    assert verdict is Verdict.ERROR
    assert killed
    assert workers.ask([paper("x+2", "2+x")]) == [Verdict.CORRECT]
    assert worker.pid == before, "the process that holds sympy in memory lives on"
    workers.close()


def test_running_out_of_memory_costs_one_answer() -> None:
    """A list of a thousand million entries is 8 GB; a worker may have a quarter of that and never gets more."""
    workers = WorkerPool(1)
    assert workers.ask([paper("[1]*10**9"), paper("x+1", "1+x")]) == [Verdict.INCORRECT, Verdict.CORRECT]
    worker = workers._idle.queue[0]
    assert worker.pid is not None
    (child,) = _children(worker.pid)
    status = Path(f"/proc/{child}/status").read_text()
    workers.close()
    assert int(re.findall(r"VmPeak:\s*(\d+) kB", status)[0]) * 1024 <= MEMORY_BYTES


def test_each_process_has_its_own_pool() -> None:
    assert shared_pool() is shared_pool()


def test_plain_answers_need_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a worker was asked")

    monkeypatch.setattr(WorkerPool, "ask", refuse)
    assert grade_answer("The answer is 5.", "5", "gsm8k") == Grade("5", Verdict.CORRECT, Verdict.CORRECT)
    assert grade_answer("The answer is 500.", "5", "gsm8k") == Grade("500", Verdict.CORRECT, Verdict.INCORRECT)
    assert grade_answer("The answer is (B).", "C", "mathqa") == Grade("B", Verdict.INCORRECT, Verdict.INCORRECT)
    assert grade_answer("", "5", "gsm8k") == Grade("", Verdict.NO_ANSWER, Verdict.NO_ANSWER)
    assert grade_answer("(B)", "B", "mathqa") == Grade("placeholder", Verdict.NO_ANSWER, Verdict.CORRECT)


@pytest.mark.parametrize("gold", ["", " ", r"\frac{1", "}{", "??"])
def test_a_gold_answer_that_cannot_be_read_is_an_error_not_a_wrong_answer(gold: str) -> None:
    assert grade_answer("The answer is 5.", gold, "math").verified is Verdict.ERROR


def test_both_verdicts_of_many(pool: WorkerPool) -> None:
    items = [(r"\boxed{\frac{x+2}{7}}", r"\frac{x}{7}+\frac{2}{7}", "math"), ("The answer is 5 dollars.", "5", "gsm8k")]
    assert [(grade.paper, grade.verified) for grade in grade_many(items, pool=pool)] == [
        (Verdict.CORRECT, Verdict.CORRECT),
        (Verdict.INCORRECT, Verdict.CORRECT),
    ]


ATTACKS = [
    "__import__('os').mkdir('{}')",
    "open('{}','w')",
    "exec('import os; os.mkdir(\"{}\")')",
    "(1).__class__.__bases__",
    "[x for x in [1]]",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_answers_are_never_executed(pool: WorkerPool, tmp_path: Path, attack: str) -> None:
    pred = attack.replace("{}", str(tmp_path / "made"))
    pool.ask([paper(pred), Question("verified", pred, "7", "math")])
    assert os.listdir(tmp_path) == []
    with pytest.raises(Exception):  # noqa: B017, PT011 - any exception means "no reading"
        read_expression(pred)


@pytest.mark.parametrize("call", ["eval(chr(49))", "getattr(1,chr(95))", "sympify(chr(49))", "preview(x)", "exit()"])
def test_unknown_functions_stay_symbols(call: str) -> None:
    """A name that is no mathematical function is an unknown function, as ``f(x)`` is; nothing is called."""
    from sympy.core.function import AppliedUndef

    assert isinstance(read_expression(call), AppliedUndef)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2**5", "32"), ("3*sqrt(4)", "6"), ("(1, 2)", "(1, 2)"), ("{2, 1}", "{1, 2}"), ("5!", "120"), ("1 < 2", "True")],
)
def test_reads_expressions(text: str, value: str) -> None:
    assert str(read_expression(text)) == value


def test_sizes() -> None:
    import sympy

    assert checked_power(2, 10) == 1024
    with pytest.raises(TooLargeError):
        checked_power(10, 10**7)
    assert check_size(sympy.binomial(10**12, 2, evaluate=False)).doit() == 10**12 * (10**12 - 1) // 2
    with pytest.raises(TooLargeError):
        check_size(sympy.factorial(sympy.Integer(10) ** 8, evaluate=False))
    check_size(sympy.oo)
    check_size(sympy.Pow(sympy.Symbol("x"), 10**9, evaluate=False))
