"""Whether contests asked the same questions as each other, and as the records of single models, of one shipped suite.

Part of ``contest_checks``; columns of records of single models are held together by their ``eval_fingerprint``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rho1bench.leaderboard.records.contest_record import ContestRecord, TaskFacts
from rho1bench.leaderboard.records.evaluation_checks import OPTIONS
from rho1bench.leaderboard.records.read import RECORDS
from rho1bench.leaderboard.records.record import EvaluationFacts, Record, TaskRecord
from rho1bench.leaderboard.records.record_summary import RecordSummary
from rho1bench.paper.suites import SUITES
from rho1bench.recipe.texts import text_of

_Seen = dict[tuple[object, ...], tuple[str, tuple[object, ...]]]


def unlike_documents(
    contests: Iterable[ContestRecord], records: Iterable[RecordSummary], results: Path
) -> Iterator[str]:
    """Yield contests whose documents or prompts of a shipped task are not those of others with as many."""
    seen: _Seen = {}
    columns = {(record.suite, record.limit): record.id for record in records if record.suite in SUITES}
    for (suite, _), name in columns.items():
        record = Record.model_validate_json((results / RECORDS / f"{name}.json").read_bytes())
        list(_unlike(suite, record.tasks, record.evaluation, name, seen, record.tasks))
    for contest in contests:
        for suite, facts in contest.suites.items():
            kind, of_text = text_of(suite) or ("", suite)
            asked = contest.suites[of_text].tasks if of_text in contest.suites else {}
            if of_text in SUITES and kind != "corpus":
                found = _unlike(suite, facts.tasks, contest.evaluation, contest.id, seen, asked)
                yield from (f"{RECORDS}/{contest.id}.json: {problem}" for problem in found)


def _unlike(
    suite: str,
    tasks: Mapping[str, TaskFacts] | Mapping[str, TaskRecord],
    evaluation: EvaluationFacts,
    name: str,
    seen: _Seen,
    asked: Mapping[str, TaskFacts] | Mapping[str, TaskRecord],
) -> Iterator[str]:
    options = tuple(str(evaluation.engine_settings.get(option)) for option in OPTIONS)
    for task, facts in tasks.items():
        version = asked[task].version if task in asked else None  # gold answers are those of a version of the task
        documents = (facts.data_sha256, facts.prompts_sha256, facts.num_rows)
        first, known = seen.setdefault((suite, task, version, facts.n, options), (name, documents))
        if known != documents:
            yield f"suites.{suite}: has other documents or prompts of {task} than {first}"
