"""Two records on the same documents: differences, intervals, p-values, and the tokens to the baseline's accuracy.

Behind ``rho1bench compare A B`` and the comparison that a treatment's record carries (paper section 3.3, figure 1).
Two records are paired only if their ``eval_fingerprint`` is the same; otherwise the error names what differs. On the
command line A and B are records (a file, or an id under ``results/records``) or folders that ``rho1bench eval`` wrote:
A is the treatment, B the baseline, and every suite that both have is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path

from rich.table import Table
from rich.text import Text

from rho1bench.comparison import statistics
from rho1bench.comparison.differences import ScoreDifference, compare_scores
from rho1bench.comparison.equal_flops import ArmCost, Curve, arm_cost, at_equal_flops, counted_tokens
from rho1bench.comparison.tokens_to_baseline import TokensToBaseline, tokens_to_baseline
from rho1bench.errors import DataError
from rho1bench.leaderboard.records.from_evaluation import pack_evaluation
from rho1bench.leaderboard.records.read import RECORDS, read_one
from rho1bench.leaderboard.records.record import (
    ComparisonRecord,
    Difference,
    Id,
    Record,
    RecordModel,
    SpeedUp,
    as_json,
    record_fingerprint_parts,
    with_hashes,
)
from rho1bench.rendering import numbers as fmt

_NAMED_AT_MOST = 8
RESULTS = Path("results")
"""Where records lie in a checkout."""


class ComparedScores(Difference):
    """A difference with the scores of both sides."""

    treatment: float
    baseline: float


class ComparedRecords(RecordModel):
    """What ``rho1bench compare`` shows, and writes with ``--json``: two records of one suite."""

    treatment: Id
    suite: str
    baseline: Id
    average: ComparedScores
    tasks: dict[str, ComparedScores]
    tokens_to_baseline: SpeedUp | None


def compare_records(treatment: Record, baseline: Record, *, seed: int = 0) -> Record:
    """Return ``treatment`` with its comparison; raises DataError where the two cannot be paired."""
    return with_hashes(treatment.model_copy(update={"comparison": comparison(treatment, baseline, seed=seed)}))


def comparison(treatment: Record, baseline: Record, *, seed: int = 0) -> ComparisonRecord:
    """Return a record's ``comparison``: the average, each task with Holm's p, and the speed-up where there are curves.

    Raises DataError, naming the parts, where the ``eval_fingerprint`` of the two differ.
    """
    check_pair(treatment, baseline)
    tasks = {
        name: compare_scores([(task.values, baseline.tasks[name].values)], seed=seed)
        for name, task in treatment.tasks.items()
    }
    adjusted = statistics.holm([entry.p for entry in tasks.values()])
    average = compare_scores(list(zip(treatment.strata, baseline.strata, strict=True)), seed=seed)
    speed_up = speed_up_of(treatment, baseline, seed=seed)
    costs = _arm_cost(treatment), _arm_cost(baseline)
    counted = equal = None
    if speed_up is not None and costs[0] is not None and costs[1] is not None:
        counted = counted_tokens(speed_up, costs[0], costs[1])
        if _have_same_documents(treatment, baseline):
            equal = at_equal_flops(_curve(treatment, costs[0]), _curve(baseline, costs[1]), seed=seed)
    return ComparisonRecord(
        baseline=baseline.id,
        average=_difference(average),
        tasks={name: _difference(entry, p) for (name, entry), p in zip(tasks.items(), adjusted, strict=True)},
        tokens_to_baseline=SpeedUp(**asdict(speed_up), counted=counted) if speed_up else None,
        equal_flops=equal,
    )


def _have_same_documents(treatment: Record, baseline: Record) -> bool:
    """Tell whether all points of both curves stand on as many documents of each task."""
    sizes = {tuple(len(values) for values in point.strata) for point in (*treatment.curve, *baseline.curve)}
    return len(sizes) == 1


def _arm_cost(record: Record) -> ArmCost | None:
    return arm_cost(record.cost, record.training.tokens if record.training else None)


def _curve(record: Record, cost: ArmCost) -> Curve:
    return Curve([point.tokens for point in record.curve], [point.strata for point in record.curve], cost)


def _difference(entry: ScoreDifference, p_holm: float | None = None) -> Difference:
    return Difference(
        difference=entry.difference, ci=entry.ci, p=entry.p, p_method=entry.p_method, p_holm=p_holm, n=entry.n
    )


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
    ours, theirs = (record_fingerprint_parts(as_json(record)) for record in (left, right))
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            yield f"{name}: {_short(ours.get(name))} and {_short(theirs.get(name))}"


def _short(value: object) -> str:
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


def compare(treatment: str, baseline: str, results: Path = RESULTS, *, seed: int = 0) -> list[ComparedRecords]:
    """Return one comparison a suite that both have.

    Raises DataError where a name leads nowhere, no suite is common, or the two were evaluated otherwise.
    """
    left, right = read_records_of(treatment, results), read_records_of(baseline, results)
    common = [suite for suite in left if suite in right]
    if not common:
        raise DataError(
            f"{treatment} has {', '.join(left)} and {baseline} has {', '.join(right)}: no suite is common. "
            "Evaluate both on one suite."
        )
    return [with_scores(left[suite], right[suite], seed=seed) for suite in common]


def with_scores(treatment: Record, baseline: Record, *, seed: int) -> ComparedRecords:
    """Return the comparison of two records with both sides' scores beside each difference."""
    found = comparison(treatment, baseline, seed=seed)

    def beside(entry: Difference, left: float, right: float) -> ComparedScores:
        return ComparedScores(**dict(entry), treatment=left, baseline=right)

    return ComparedRecords(
        treatment=treatment.id,
        suite=treatment.suite,
        baseline=baseline.id,
        average=beside(found.average, treatment.average.score, baseline.average.score),
        tasks={
            name: beside(entry, treatment.tasks[name].score, baseline.tasks[name].score)
            for name, entry in found.tasks.items()
        },
        tokens_to_baseline=found.tokens_to_baseline,
    )


def read_records_of(name: str, results: Path = RESULTS) -> dict[str, Record]:
    """Return the records that a word of the command line stands for, by suite; raises DataError."""
    path = Path(name)
    if path.is_dir():
        if not (path / "results.json").is_file():
            raise DataError(
                f"{path}: holds no results.json. Expected a folder that `rho1bench eval` wrote for one model."
            )
        return {record.suite: record for record in pack_evaluation(path.resolve())}
    for candidate in (path, results / RECORDS / f"{name}.json", results / RECORDS / name):
        if candidate.is_file():
            place = "/".join(candidate.resolve().parts[-3:])  # records/<suite>/<name>.json
            record, problems = read_one(candidate, place)
            if record is None or problems:
                raise DataError(
                    f"{candidate}: no sound record:\n" + "\n".join(f"  - {problem}" for problem in problems)
                )
            return {record.suite: record}
    known = sorted(
        found.relative_to(results / RECORDS).as_posix()[:-5] for found in results.glob(f"{RECORDS}/*/*.json")
    )
    near = [other for other in known if name in other][:5] or get_close_matches(name, known, 5) or known[:5]
    raise DataError(
        f"{name}: no record and no folder of an evaluation. Known records: {', '.join(near) or 'none'}"
        f"{', ...' if len(known) > len(near) else ''} (in {results / RECORDS})."
    )


def comparison_table(entry: ComparedRecords) -> Table:
    """Return a table of one comparison; significant differences (Holm's p for tasks) are bold."""
    title = f"{entry.suite}: {entry.treatment} against {entry.baseline}, percent and points"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("task", no_wrap=True)
    for column in ("treatment", "baseline", "difference", "95% CI", "p", "p (Holm)", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, task in entry.tasks.items():
        table.add_row(*_cells(name, task), style=_style(task.p_holm))
    table.add_section()
    table.add_row(*_cells("average", entry.average), style=_style(entry.average.p))
    return table


def _cells(name: str, entry: ComparedScores) -> list[Text]:
    cells = [
        name,
        fmt.percent(entry.treatment),
        fmt.percent(entry.baseline),
        fmt.points(entry.difference),
        fmt.interval(entry.ci),
        fmt.p_value(entry.p),
        fmt.p_value(entry.p_holm),
        fmt.count(entry.n),
    ]
    return [Text(cell) for cell in cells]


def _style(p: float | None) -> str:
    return "bold" if p is not None and p < fmt.SIGNIFICANT else ""


def speed_up_line(entry: ComparedRecords) -> str:
    """Say after what share of the baseline's tokens the treatment is where the baseline ends; empty without curves."""
    found = entry.tokens_to_baseline
    if found is None:
        return ""
    head = f"tokens to the baseline's {fmt.percent(found.target)}% (n = {found.n}): "
    if found.tokens is None or found.share is None:
        return f"{head}not reached within {found.num_checkpoints} checkpoints"
    most = "at most " if found.at_first_point else ""
    text = f"{head}{most}{_share(found.share)} of its tokens{_bounds(found.share_ci)}"
    counted = found.counted
    if counted is None or counted.share is None:
        return text
    return f"{text}; all that was needed counted, {_share(counted.share)} of its operations{_bounds(counted.share_ci)}"


def _bounds(bounds: tuple[float, float | None] | None) -> str:
    if bounds is None:
        return ""
    low, high = bounds
    return f", 95% CI {_share(low)} to {'never' if high is None else _share(high)}"


def _share(value: float) -> str:
    return f"{100 * value:.0f}%"
