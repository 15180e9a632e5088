"""Two records on the same documents: differences, intervals, p-values, and the tokens to the baseline's accuracy.

Behind ``rho1bench compare A B`` and the comparison that a treatment's record carries (paper section 3.3, figure 1).
Two records are paired only if their ``eval_fingerprint`` is the same; otherwise the error names what differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rho1bench.errors import DataError
from rho1bench.leaderboard import statistics
from rho1bench.leaderboard.comparison import compare_scores
from rho1bench.leaderboard.record import Record, as_json, fingerprint_parts, sealed
from rho1bench.leaderboard.speedup import TokensToBaseline, tokens_to_baseline

_NAMED_AT_MOST = 8


def compare_records(treatment: Record, baseline: Record, *, seed: int = 0) -> Record:
    """Return ``treatment`` with its comparison; raises DataError where the two cannot be paired."""
    return sealed(as_json(treatment) | {"comparison": comparison(treatment, baseline, seed=seed)})


def comparison(treatment: Record, baseline: Record, *, seed: int = 0) -> dict[str, Any]:
    """Return a record's ``comparison``: the average, each task with Holm's p, and the speed-up where there are curves.

    Raises DataError, naming the parts, where the ``eval_fingerprint`` of the two differ.
    """
    check_pair(treatment, baseline)
    tasks = {
        name: compare_scores([(task.values, baseline.tasks[name].values)], seed=seed)
        for name, task in treatment.tasks.items()
    }
    adjusted = statistics.holm([entry["p"] for entry in tasks.values()])
    average = compare_scores(list(zip(treatment.strata, baseline.strata, strict=True)), seed=seed)
    speed_up = speed_up_of(treatment, baseline, seed=seed)
    return {
        "baseline": baseline.id,
        "average": _difference(average),
        "tasks": {
            name: _difference(entry) | {"p_holm": p} for (name, entry), p in zip(tasks.items(), adjusted, strict=True)
        },
        "tokens_to_baseline": asdict(speed_up) if speed_up else None,
    }


def _difference(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("difference", "ci", "p", "p_method", "n")}


def check_pair(treatment: Record, baseline: Record) -> None:
    """Raise DataError, naming what differs, unless the two were evaluated alike."""
    if treatment.eval_fingerprint == baseline.eval_fingerprint:
        return
    unlike = list(differing_parts(treatment, baseline))
    more = f"\n  - and {len(unlike) - _NAMED_AT_MOST} more" if len(unlike) > _NAMED_AT_MOST else ""
    raise DataError(
        f"{treatment.id} and {baseline.id} cannot be paired: their eval_fingerprint differs.\n"
        + "\n".join(f"  - {part}" for part in unlike[:_NAMED_AT_MOST])
        + f"{more}\nEvaluate both on the same suite with the same settings."
    )


def differing_parts(left: Record, right: Record) -> Iterator[str]:
    """Yield what keeps two records out of one column, in words."""
    if left.suite != right.suite:
        yield f"the suite: {left.suite} and {right.suite}"
        return
    ours, theirs = (fingerprint_parts(as_json(record)) for record in (left, right))
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            yield f"{name}: {_short(ours.get(name))} and {_short(theirs.get(name))}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def speed_up_of(treatment: Record, baseline: Record, *, seed: int = 0) -> TokensToBaseline | None:
    """Return the tokens to the baseline's accuracy, interpolated on the treatment's curve; None without both curves."""
    curve, target = treatment.curve, baseline.curve[-1:]
    if len(curve) < 2 or not target or target[0].tokens == 0:
        return None
    sizes = [[len(values) for values in point.strata] for point in (*curve, *target)]
    if any(size != sizes[0] for size in sizes):
        return None
    return tokens_to_baseline(
        [point.tokens for point in curve],
        [point.strata for point in curve],
        target[0].strata,
        target[0].tokens,
        seed=seed,
    )
