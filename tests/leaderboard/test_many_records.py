"""Five thousand records, some with 50,000 documents: the pages are built in seconds and in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from many_records import write_many

# A loop of plain Python tells how fast the machine is at the moment; it takes about half a second on an idle one.
MEASURE = """
import json, resource, sys, time
from pathlib import Path
def seconds(job):
    before = time.process_time()
    job()
    return time.process_time() - before
def loop():
    total = 0
    for number in range(10_000_000):
        total += number
speed = seconds(loop)
from rho1bench.leaderboard.building import write_pages
spent = seconds(lambda: write_pages(Path(sys.argv[1])))
megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"loop": speed, "build": spent, "megabytes": megabytes}))
"""
SECONDS, MEGABYTES, IDLE_LOOP = 10.0, 500.0, 0.5


@pytest.mark.slow
def test_five_thousand_records_build_in_ten_seconds_and_half_a_gigabyte(tmp_path: Path) -> None:
    results = write_many(tmp_path, 5000 + 1)
    assert len(list((results / "records").rglob("*.json"))) == 5001
    command = [sys.executable, "-c", MEASURE, str(results)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(found)
    assert found["megabytes"] < MEGABYTES
    assert found["build"] < SECONDS * max(1.0, found["loop"] / IDLE_LOOP)
