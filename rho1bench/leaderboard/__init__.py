"""Comparison of checkpoints: statistics, the ``compare`` stage, the summary over seeds, tables for the console."""

from typing import TYPE_CHECKING

from rho1bench.system.lazy_face import lazy_face

if TYPE_CHECKING:
    from rho1bench.leaderboard.records.compare import ComparedRecords as ComparedRecords
    from rho1bench.leaderboard.records.compare import compare as compare
    from rho1bench.leaderboard.records.compare import compare_records as compare_records
    from rho1bench.leaderboard.records.compare import read_records_of as read_records_of
    from rho1bench.leaderboard.records.record import Record as Record

_MODULES = {
    "ComparedRecords": "records.compare",
    "Record": "records.record",
    "compare": "records.compare",
    "compare_records": "records.compare",
    "read_records_of": "records.compare",
}
__all__ = [
    "ComparedRecords",
    "Record",
    "compare",
    "compare_records",
    "read_records_of",
]
__getattr__, __dir__ = lazy_face(__name__, _MODULES)
