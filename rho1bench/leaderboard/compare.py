"""``rho1bench compare A B``: two checkpoints on the same documents, as a table and as JSON.

A and B are records (a file, or an id under ``results/records``) or folders that ``rho1bench eval`` wrote. A is the
treatment, B the baseline; every suite that both have is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rho1bench.errors import DataError
from rho1bench.leaderboard import formatting as fmt
from rho1bench.leaderboard.checks import RECORDS, read_one
from rho1bench.leaderboard.packing import pack_evaluation
from rho1bench.leaderboard.paired import comparison
from rho1bench.leaderboard.record import Record


def compare(treatment: str, baseline: str, results: Path, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return one comparison a suite, each with ``treatment``, ``baseline`` and ``suite``.

    Raises DataError where a name leads nowhere, no suite is common, or the two were evaluated otherwise.
    """
    left, right = read_records_of(treatment, results), read_records_of(baseline, results)
    common = [suite for suite in left if suite in right]
    if not common:
        raise DataError(
            f"{treatment} has {', '.join(left)} and {baseline} has {', '.join(right)}: no suite is common. "
            "Evaluate both on one suite."
        )
    return [
        {"treatment": left[suite].id, "suite": suite, **scores_of(left[suite], right[suite], seed=seed)}
        for suite in common
    ]


def scores_of(treatment: Record, baseline: Record, *, seed: int) -> dict[str, Any]:
    """Return a record's comparison with both sides' scores beside each difference."""
    found = comparison(treatment, baseline, seed=seed)
    found["average"] |= {"treatment": treatment.average.score, "baseline": baseline.average.score}
    for name, entry in found["tasks"].items():
        entry |= {"treatment": treatment.tasks[name].score, "baseline": baseline.tasks[name].score}
    return found


def read_records_of(name: str, results: Path) -> dict[str, Record]:
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
            place = candidate.resolve().relative_to(candidate.resolve().parents[2]).as_posix()
            record, problems = read_one(candidate, place)
            if record is None or problems:
                raise DataError(
                    f"{candidate}: no sound record:\n" + "\n".join(f"  - {problem}" for problem in problems)
                )
            return {record.suite: record}
    known = sorted(
        found.relative_to(results / RECORDS).as_posix()[:-5] for found in results.glob(f"{RECORDS}/*/*.json")
    )
    near = [other for other in known if name in other][:5] or known[:5]
    raise DataError(
        f"{name}: no record and no folder of an evaluation. Known records: {', '.join(near) or 'none'}"
        f"{', ...' if len(known) > len(near) else ''} (in {results / RECORDS})."
    )


def comparison_table(entry: Mapping[str, Any]) -> Any:
    """Return a rich table of one comparison; significant differences (Holm's p for tasks) are bold."""
    from rich.table import Table
    from rich.text import Text

    title = f"{entry['suite']}: {entry['treatment']} against {entry['baseline']}, percent and points"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("task", no_wrap=True)
    for column in ("treatment", "baseline", "difference", "95% CI", "p", "p (Holm)", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, task in entry["tasks"].items():
        table.add_row(*_cells(name, task), style=_style(task["p_holm"]))
    table.add_section()
    table.add_row(*_cells("average", entry["average"]), style=_style(entry["average"]["p"]))
    return table


def _cells(name: str, entry: Mapping[str, Any]) -> list[Any]:
    from rich.text import Text

    cells = [fmt.percent(entry["treatment"]), fmt.percent(entry["baseline"]), fmt.points(entry["difference"])]
    cells += [
        fmt.interval(entry["ci"]),
        fmt.p_value(entry["p"]),
        fmt.p_value(entry.get("p_holm")),
        fmt.count(entry["n"]),
    ]
    return [Text(cell) for cell in (name, *cells)]


def _style(p: float | None) -> str:
    return "bold" if p is not None and p < fmt.SIGNIFICANT else ""


def speed_up_line(entry: Mapping[str, Any]) -> str:
    """Say after what share of the baseline's tokens the treatment is where the baseline ends; empty without curves."""
    found = entry["tokens_to_baseline"]
    if found is None:
        return ""
    head = f"tokens to the baseline's {fmt.percent(found['target'])}% (n = {found['n']}): "
    if found["tokens"] is None:
        return f"{head}not reached within {found['num_checkpoints']} checkpoints"
    most = "at most " if found["at_first_point"] else ""
    return f"{head}{most}{_share(found['share'])} of its tokens{_bounds(found['share_ci'])}"


def _bounds(bounds: Any) -> str:
    if bounds is None:
        return ""
    low, high = bounds
    return f", 95% CI {_share(low)} to {'never' if high is None else _share(high)}"


def _share(value: float) -> str:
    return f"{100 * value:.0f}%"
