"""``rho1bench verify RECORD``: whether a run of a record's command comes to what the record says.

Training is not bit-equal from machine to machine (results/README.md says where it is), so a run need not end with the
record's numbers. It has to land within the tolerance that the record states: its 95% interval over documents. Where
other seeds of the recipe are on record, so is how far training itself spreads: a run beyond the first and within the
second may differ by nothing but another course of rounding, and is called that.
"""

from __future__ import annotations

import re
import shlex
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.table import Table
from rich.text import Text

from rho1bench.comparison.intervals import Interval
from rho1bench.errors import DataError
from rho1bench.leaderboard.records.compare import differing_parts, read_records_of
from rho1bench.leaderboard.records.from_evaluation import find_evaluations, pack_evaluation
from rho1bench.leaderboard.records.from_run import find_runs, pack_run
from rho1bench.leaderboard.records.origin import origin_problems
from rho1bench.leaderboard.records.read import RECORDS, read_one
from rho1bench.leaderboard.records.record import Record, as_json
from rho1bench.rendering import numbers as fmt

Verdict = Literal["identical", "within", "within seeds", "outside"]
WORDS: dict[Verdict, str] = {
    "identical": "identical: the same weights, and the same score of every document",
    "within": "within the tolerance",
    "within seeds": "beyond the interval over documents, and within the spread of training seeds",
    "outside": "outside the tolerance",
}
_LEAST_SEEDS = 3
_KEPT = re.compile(r"^results/(?=recipes/)")


@dataclass(frozen=True)
class CheckedScore:
    """A score of the record, the one found here, and the record's 95% interval; fractions."""

    recorded: float
    found: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        """Whether the score found lies in the interval."""
        return self.low <= self.found <= self.high


@dataclass(frozen=True)
class Verification:
    """What a run of the record's command came to; ``seeds`` is where one more training seed lies (95%), if known."""

    record: str
    command: str
    verdict: Verdict
    average: CheckedScore
    tasks: dict[str, CheckedScore]
    num_documents: int
    changed_documents: int
    same_weights: bool
    seeds: Interval | None
    num_seeds: int
    machine: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What of device, engine and versions is another one: in the record, and here."""


def read_record(name: str, results: Path) -> Record:
    """Return the record that a word of the command line stands for, if its command makes it; raises DataError."""
    if Path(name).is_dir():
        raise DataError(f"{name}: is a folder. Give a record: its file, or its id as on the leaderboard.")
    (record,) = read_records_of(name, results).values()
    if problems := list(origin_problems(record, results)):
        raise DataError(f"{name}: its command does not make it:\n" + "\n".join(f"  - {line}" for line in problems))
    return record


def command_words(record: Record, results: Path, output: Path) -> list[str]:
    """Return the words after ``rho1bench`` that carry the record's command out into ``output``."""
    words = shlex.split(record.command)[1:]
    return [*(_KEPT.sub(f"{results.as_posix()}/", word) for word in words), "--output", str(output)]


def found_record(record: Record, output: Path) -> Record:
    """Return what the run in ``output`` left of the same checkpoint and suite; raises DataError without it."""
    if record.training is not None:
        made: Iterable[Record] = (one for run in find_runs(output) for one in pack_run(run))
    else:
        made = (one for path in find_evaluations(output) for one in pack_evaluation(path.resolve(), record.model.name))
    found = next((one for one in made if one.id == record.id), None)
    if found is None:
        raise DataError(f"{output}: holds no result of {record.id}. Give --output the folder of its command alone.")
    return found


def verify(record: Record, found: Record, results: Path) -> Verification:
    """Hold a run's record against the one on file.

    Raises DataError where the two were evaluated otherwise, or are different checkpoints from elsewhere.
    """
    if found.eval_fingerprint != record.eval_fingerprint:
        parts = "; ".join(list(differing_parts(record, found))[:3])
        raise DataError(f"{record.id}: was evaluated otherwise than by this version, it differs in {parts}.")
    same_weights = None not in (record.model.weights_sha256, found.model.weights_sha256) and (
        record.model.weights_sha256 == found.model.weights_sha256
    )
    if record.training is None and not same_weights:
        raise DataError(f"{record.id}: is of other weights than the checkpoint here. Evaluate the recorded one.")
    average = CheckedScore(record.average.score, found.average.score, *record.average.ci)
    changed = sum(int((task.values != found.tasks[name].values).sum()) for name, task in record.tasks.items())
    scores = _scores_of_seeds(record, results)
    seeds = next_seed(scores)
    return Verification(
        record=record.id,
        command=record.command,
        verdict=_verdict(average, same_weights and not changed, seeds),
        average=average,
        tasks={
            name: CheckedScore(task.score, found.tasks[name].score, *task.ci) for name, task in record.tasks.items()
        },
        num_documents=record.average.n,
        changed_documents=changed,
        same_weights=same_weights,
        seeds=seeds,
        num_seeds=len(scores),
        machine=_other_machine(record, found),
    )


def _verdict(average: CheckedScore, identical: bool, seeds: Interval | None) -> Verdict:
    if identical:
        return "identical"
    if average.inside:
        return "within"
    return "within seeds" if seeds is not None and seeds.low <= average.found <= seeds.high else "outside"


def _scores_of_seeds(record: Record, results: Path) -> list[float]:
    """Return the averages of all recorded training seeds of the record's recipe, stage and suite."""
    if record.training is None:
        return []
    limit = f".limit{record.limit}" if record.limit else ""
    pattern = re.sub(r"\.seed\d+(\.limit\d+)?$", f".seed*{limit}.json", record.id)
    scores = {record.training.seed: record.average.score}
    for path in (results / RECORDS).glob(pattern):
        other, problems = read_one(path, "/".join(path.parts[-3:]))
        if other is None or problems or other.training is None or other.limit != record.limit:
            continue
        if other.training.recipe_sha256 == record.training.recipe_sha256:
            scores.setdefault(other.training.seed, other.average.score)
    return list(scores.values())


def next_seed(scores: Sequence[float]) -> Interval | None:
    """Return where one more draw lies with a chance of 95% (normal, Student's t); None for fewer than three."""
    if len(scores) < _LEAST_SEEDS:
        return None
    from scipy.special import stdtrit

    n = len(scores)
    half = float(stdtrit(n - 1, 0.975)) * statistics.stdev(scores) * (1 + 1 / n) ** 0.5
    middle = statistics.mean(scores)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def _other_machine(record: Record, found: Record) -> dict[str, tuple[str, str]]:
    before, now = as_json(record)["evaluation"], as_json(found)["evaluation"]
    pairs = {key: (str(before[key]), str(now[key])) for key in ("engine", "device", "dtype")}
    for name in sorted({*before["versions"], *now["versions"]}):
        pairs[name] = (before["versions"].get(name, "none"), now["versions"].get(name, "none"))
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def as_text(found: Verification) -> list[Table | str]:
    """Return what ``verify`` prints."""
    table = Table(title=Text(f"{found.record}, percent"), title_justify="left")
    for column in ("task", "record", "here", "95% interval of the record", "inside"):
        table.add_column(column, justify="left" if column == "task" else "right", no_wrap=True)
    for name, score in (*found.tasks.items(), ("average", found.average)):
        span = f"{fmt.percent(score.low)} to {fmt.percent(score.high)}"
        table.add_row(
            name, fmt.percent(score.recorded), fmt.percent(score.found), span, "yes" if score.inside else "no"
        )
    lines: list[Table | str] = [table]
    weights = "the record's, bit for bit" if found.same_weights else "others than the record's"
    lines.append(f"weights: {weights}; scores that differ: {found.changed_documents} of {found.num_documents}")
    for name, (before, now) in found.machine.items():
        lines.append(f"{name}: {before} in the record, {now} here")
    average = found.average
    lines.append(
        f"tolerance: {fmt.percent(average.low)} to {fmt.percent(average.high)}, the record's 95% interval over its "
        f"{found.num_documents} documents"
    )
    if found.seeds is not None:
        span = f"{fmt.percent(found.seeds.low)} to {fmt.percent(found.seeds.high)}"
        lines.append(f"spread of training: {span} for one more seed (95%), from the {found.num_seeds} on record")
    difference = fmt.points(average.found - average.recorded)
    lines.append(f"verdict: {difference} points, {WORDS[found.verdict]}")
    return lines
