"""Thousands of records, some with 50,000 documents each: the pages are built in little memory a record.

The seconds are printed and not asserted: five thousand records take about ten on an idle machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from many_records import write_many

MEASURE = """
import json, sys, time
from pathlib import Path
from rho1bench.leaderboard.pages.build import write_pages
from rho1bench.leaderboard.records import checks, compare, pins
# Invented test sets and recipes; the records are copies of a few under many names.
pins.task_pins, checks.origin_problems = dict, lambda record, results: iter(())
checks._copied = lambda column: iter(())
# Comparisons are looked up, not computed again: that takes the same memory each, and a second for each of thousands.
compare.comparison = lambda treatment, baseline, seed: treatment.comparison
before = time.process_time()
write_pages(Path(sys.argv[1]))
spent = time.process_time() - before
# Not getrusage's ru_maxrss: a child inherits its parent's.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps({"seconds": spent, "megabytes": int(peak.split()[1]) / 1024}))
"""
FEW, MANY = 9, 9 * 15
MOST_AT_5000 = 500.0


def measured(folder: Path, number: int) -> dict[str, float]:
    results = write_many(folder, number)
    assert len(list((results / "records").rglob("*.json"))) == number
    command = [sys.executable, "-c", MEASURE, str(results)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    print(number, found)
    return found


@pytest.mark.sweep
def test_five_thousand_records_would_fit_into_half_a_gigabyte(tmp_path: Path) -> None:
    few, many = measured(tmp_path / "few", FEW), measured(tmp_path / "many", MANY)
    each = (many["megabytes"] - few["megabytes"]) / (MANY - FEW)
    assert few["megabytes"] + 5000 * each < MOST_AT_5000
