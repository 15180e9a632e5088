"""Records of one grader version may stand in one column, so the verdicts of a version must not move."""

from __future__ import annotations

from strict_case_table import Judge, read_cases

from rho1bench.grading.pool import Question
from rho1bench.grading.verdict import GRADER_VERSION
from rho1bench.system.files import sha256_json

VERDICTS = {
    1: "e8b11bb8533af154757b0007fececdd3026340dc098230385976cdb74c5f374f",
    2: "ae0e08db9b2e686799c1bea01499234424d3ce5d833eb81e68996d8ed35288a9",
    3: "a75a5c5cae06af835b110508677d85ad46fb61478ae9e59221eb048c16b71ec6",
}


def test_a_verdict_that_moves_asks_for_a_new_version(judged: Judge) -> None:
    """Where this fails after a change of the rules: raise GRADER_VERSION and add its hash, as the failure prints it."""
    pairs = [pair for case in read_cases()[::4] for pair in ((case.answer, case.gold), (case.gold, case.answer))]
    questions = [Question(side, answer, gold, "math") for side in ("paper", "verified") for answer, gold in pairs]
    questions += [Question("verified", case.answer, case.gold, "math") for case in read_cases("strict_kinds.txt")[::8]]
    found = sha256_json([str(verdict) for verdict in judged(questions)])
    assert VERDICTS[GRADER_VERSION] == found
