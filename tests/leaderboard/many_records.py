"""Thousands of records with the test sets' real sizes: a few drawn ones under many names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import count, islice
from pathlib import Path

from fake_records import Json, fake_pair, fake_record, with_hashes, write_results

from rho1bench.system.files import sha256_bytes

SIZES = {
    "gsm8k": 1319,
    "math500": 500,
    "svamp": 1000,
    "asdiv": 2215,
    "mawps": 2065,
    "tabmwp": 1000,
    "mathqa": 1000,
    "mmlu_stem": 3018,
    "sat": 32,
    "gsm_hard": 1319,
    "mmlu": 14042,
    "bbh": 6511,
    "agieval": 3852,
    "arc_easy": 2376,
    "arc_challenge": 1172,
    "boolq": 3270,
    "piqa": 1838,
    "hellaswag": 10042,
    "winogrande": 1267,
    "openbookqa": 500,
    "humaneval": 164,
    "mbpp": 500,
    "tydiqa": 5077,
}
REAL_ROWS = {f"rho1_{name}{end}": rows for name, rows in SIZES.items() for end in ("", "_cot", "_tir")}


def many_records(number: int) -> Iterator[Json]:
    """Yield ``number`` records: of every suite, half of them with a comparison, some of them partial."""
    return islice(_clones(), number)


@cache
def _templates() -> tuple[list[tuple[Json, Json]], Json]:
    pairs = [
        fake_pair("many", suite=suite, rows=rows, gain=0.02)
        for suite, rows in (
            ("rho1_math9", REAL_ROWS),
            ("rho1_tir7", REAL_ROWS),
            ("rho1_general15", REAL_ROWS),
            ("mini_math9", 120),
        )
    ]
    return pairs, fake_record("trial", limit=8, rows=REAL_ROWS)


def _clones() -> Iterator[Json]:
    pairs, partial = _templates()
    for index in count():
        for slm, clm in pairs:
            yield _renamed(slm, "slm", index)
            yield _renamed(clm, "clm", index)
        yield _renamed(partial, "trial", index)


def _renamed(record: Json, stage: str, index: int) -> Json:
    """Return ``record`` as that of another checkpoint: four seeds a recipe."""
    suite, recipe, seed = record["suite"], f"recipe{index // 4:04}", index % 4
    name = f"{recipe}.{stage}.seed{seed}"
    end = f".limit{record['limit']}" if record["limit"] else ""
    comparison = record["comparison"] and {**record["comparison"], "baseline": f"{suite}/{recipe}.clm.seed{seed}"}
    training = record["training"] and {
        **record["training"],
        "recipe": recipe,
        "recipe_sha256": sha256_bytes(recipe.encode()),
        "seed": seed,
    }
    model = {**record["model"], "name": name, "weights_sha256": sha256_bytes(name.encode())}
    changed = {"id": f"{suite}/{name}{end}", "model": model, "training": training, "comparison": comparison}
    return with_hashes({**record, **changed})


def write_many(folder: Path, number: int) -> Path:
    """Write ``number`` records as a results folder, without waiting for the disk after each."""
    write_results(folder, [])
    for record in many_records(number):
        path = folder / "records" / f"{record['id']}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return folder
