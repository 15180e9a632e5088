"""``rho1bench bench grade``: the grader against the obvious way of grading, side by side.

The obvious way is that of :mod:`rho1bench.bench.naive_grading`: a fresh process pool a file, algebra on every pair.
Both grade the same files: those given, else the released outputs of the data folder, else one made of answers written
here. The naive way gives the paper's verdict alone, ours gives both. A second measurement mixes in answers that never
end.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rho1bench.bench.naive_grading import grade_naively
from rho1bench.grading.grader import Answer, grade_answers
from rho1bench.grading.paper.normal_form import normalise
from rho1bench.grading.pool import FIRST_LIMIT, Question, WorkerPool
from rho1bench.grading.saved_outputs import Lookup, read_answers
from rho1bench.grading.verdict import Verdict

HANGING = (
    r"\sum_{n=1}^{9999999}\frac{1}{n^{3}+%d}",
    r"\prod_{k=1}^{99999}(x+\frac{k}{%d})",
    r"\sum_{k=1}^{99999}\frac{x^{k}}{k+%d}",
    r"\sum_{k=1}^{99999}\sqrt{x+k+%d}",
    r"\prod_{k=1}^{99999}(x^{2}+\frac{k}{%d})",
)
"""Answers that computer algebra does not finish in the time it has; each kind with a number to make them differ."""
HANGING_SHARE = 0.01
RELEASED = "released_outputs/*/*/*.jsonl"
EXAMPLES = 300


@dataclass(frozen=True)
class GradeBench:
    """Seconds of wall time; ``rest_slowdown`` compares the answers that end, graded with and without the others."""

    source: str
    workers: int
    answers: int
    files: int
    naive_seconds: float
    grader_seconds: float
    ratio: float
    naive_timeouts: int
    differing: int
    hanging: int
    rest_seconds: float
    rest_seconds_with_hanging: float
    rest_slowdown: float


def run(files: Sequence[Path] = (), data_root: Path | None = None, workers: int | None = None) -> GradeBench:
    """Measure both ways on ``files`` (lines of saved outputs); without files, on what is at hand."""
    workers = workers or len(os.sched_getaffinity(0))
    source, groups = _groups(files, data_root)
    began = time.perf_counter()
    naive = [right for answers in groups for right in grade_naively(answers, workers)]
    naive_seconds = time.perf_counter() - began
    pool = WorkerPool(workers)
    normalise.cache_clear()  # the naive way filled it
    began = time.perf_counter()
    ours = [grade.paper is Verdict.CORRECT for answers in groups for grade in grade_answers(answers, pool=pool)]
    grader_seconds = time.perf_counter() - began
    pool.close()
    everything = [answer for answers in groups for answer in answers]
    hanging = max(1, round(HANGING_SHARE * len(everything)))
    rest, rest_with_hanging = _rest_seconds(everything, hanging, workers)
    return GradeBench(
        source=source,
        workers=workers,
        answers=len(everything),
        files=len(groups),
        naive_seconds=naive_seconds,
        grader_seconds=grader_seconds,
        ratio=naive_seconds / grader_seconds,
        naive_timeouts=naive.count(None),
        differing=sum(left not in (right, None) for left, right in zip(naive, ours, strict=True)),
        hanging=hanging,
        rest_seconds=rest,
        rest_seconds_with_hanging=rest_with_hanging,
        rest_slowdown=rest_with_hanging / rest - 1,
    )


def _groups(files: Sequence[Path], data_root: Path | None) -> tuple[str, list[list[Answer]]]:
    """Return what is graded, in words, and the answers of each file."""
    root = Lookup(data_root).root
    found = sorted(root.glob(RELEASED)) if root and not files else []
    if not files and not found:
        return f"{EXAMPLES} answers made here, in six kinds", [example_answers(EXAMPLES)]
    source = "the files given" if files else f"the outputs released with the paper ({root})"
    return source, [read_answers(path, None, data_root)[1] for path in files or found]


def report(result: GradeBench) -> str:
    """Return the measurement as text, its last line one line of JSON."""
    return "\n".join(
        (
            f"measured on {result.source}: {result.answers} answers, {result.files} file(s), "
            f"{result.workers} worker(s)",
            f"naive (fresh pool a file, algebra on every pair)  {result.naive_seconds:8.2f} s",
            f"rho1bench (two verdicts)                          {result.grader_seconds:8.2f} s",
            f"ratio                                             {result.ratio:8.2f}",
            f"paper verdicts that differ                        {result.differing:8d}",
            f"answers that the naive way lost to its limit      {result.naive_timeouts:8d}",
            f"rest with {result.hanging} hanging answers: {result.rest_seconds_with_hanging:.2f} s against "
            f"{result.rest_seconds:.2f} s ({100 * result.rest_slowdown:+.0f}%)",
            json.dumps(asdict(result)),
        )
    )


def _rest_seconds(answers: Sequence[Answer], hanging: int, workers: int) -> tuple[float, float]:
    """Time until every answer that ends is graded: alone, and with answers among them that do not end."""
    endless = [
        Answer(rf"\boxed{{{HANGING[place % len(HANGING)] % (place + 2)}}}", "7", "7", "math")
        for place in range(hanging)
    ]
    step = max(1, len(answers) // hanging)
    mixed = list(answers)
    for place, answer in enumerate(endless):
        mixed.insert(place * (step + 1), answer)
    return _seconds_until_rest(answers, workers), _seconds_until_rest(mixed, workers)


def _seconds_until_rest(answers: Sequence[Answer], workers: int) -> float:
    """Return the wall time at which the last answer that ends within the first limit was settled."""
    ends: list[float] = []

    def note(question: Question, verdict: Verdict) -> None:
        if verdict is not Verdict.TIMEOUT:
            ends.append(time.perf_counter())

    pool = WorkerPool(workers, on_answer=note)
    pool.ask([Question("paper", f"x+{number}", f"{number}+x", "math") for number in range(2 * pool.size)])
    began = time.perf_counter()
    grade_answers(answers, pool=pool, time_limit=FIRST_LIMIT)
    pool.close()
    return max(ends) - began


def example_answers(count: int) -> list[Answer]:
    """Answers of mixed kinds with gold answers that most of them equal: numbers, fractions, expressions, words."""
    kinds = (
        ("The answer is {n}.", "{n}"),
        (r"So \boxed{{\frac{{{n}}}{{7}}}}.", r"\frac{{{n}}}{{7}}"),
        (r"So \boxed{{x^2+{n}x}}.", "x(x+{n})"),
        ("The answer is {n} dollars.", "{n}"),
        ("The answer is Thursday.", "Friday"),
        (r"So \boxed{{({n}, 0.5)}}.", r"({n},\frac{{1}}{{2}})"),
    )
    answers = []
    for number in range(count):
        completion, gold = (text.format(n=number + 1) for text in kinds[number % len(kinds)])
        answers.append(Answer(completion, normalise(gold), gold, "math"))
    return answers
