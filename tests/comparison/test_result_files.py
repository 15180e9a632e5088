"""The result files have a version: another one, a missing field or an unknown one is refused by the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval_folders import write_label

from rho1bench.comparison.differences import read_comparison
from rho1bench.comparison.eval_results import read_results
from rho1bench.comparison.result_files import SCHEMA, as_json
from rho1bench.comparison.run_summary import read_summary
from rho1bench.errors import DataError
from rho1bench.system.files import read_json, write_json

COMPARISON = {"schema": SCHEMA, "settings": {"num_resamples": 10, "seed": 0}}
PAIR = {"treatment": "a", "baseline": "b", "suites": {}, "tasks": {}}
SUMMARY = {"schema": SCHEMA, "recipe": "r", "seed": 0, "rho1bench_version": "1", "comparisons": [PAIR]}


def test_results_are_written_as_they_were_read(tmp_path: Path) -> None:
    write_label(tmp_path, "slm", {"a": [1.0, 0.0], "b": [0.5]}, {"s": ["a", "b"]})
    assert as_json(read_results(tmp_path, "slm")) == read_json(tmp_path / "slm/results.json")["rho1bench"]


@pytest.mark.parametrize("version", [None, 0, SCHEMA + 1, str(SCHEMA)])
def test_another_version_is_refused_by_name_with_what_to_do(tmp_path: Path, version: object) -> None:
    write_label(tmp_path, "slm", {"a": [1.0]}, {"s": ["a"]})
    path = tmp_path / "slm/results.json"
    data = read_json(path)
    data["rho1bench"]["schema"] = version
    if version is None:
        del data["rho1bench"]["schema"]
    write_json(path, data)
    with pytest.raises(DataError, match=r"slm/results\.json: has .*version .* Run the same command again"):
        read_results(tmp_path, "slm")
    write_json(tmp_path / "comparison.json", COMPARISON | {"pairs": [PAIR], "schema": version})
    with pytest.raises(DataError, match=r"comparison\.json: has version .* Run the compare stage again"):
        read_comparison(tmp_path)
    for summary in (SUMMARY, {"schema": SCHEMA, "pairs": []}):
        write_json(tmp_path / "summary.json", summary | {"schema": version})
        with pytest.raises(DataError, match=r"summary\.json: has version .* again"):
            read_summary(tmp_path / "summary.json")


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"num_parameters": "many"}, "num_parameters"), ({"extra": 1}, "extra"), ({"tokens": "x"}, "tokens")],
)
def test_a_field_of_another_form_is_named(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    write_label(tmp_path, "slm", {"a": [1.0]}, {"s": ["a"]}, **change)
    with pytest.raises(DataError, match=rf"slm/results\.json: not the results of an evaluation \({problem}: "):
        read_results(tmp_path, "slm")


def test_deep_nesting_and_what_is_no_object_are_named(tmp_path: Path) -> None:
    for text in ("[" * 100_000, "[]", "3", "{"):
        (tmp_path / "comparison.json").write_text(text)
        with pytest.raises(DataError, match=r"comparison\.json: not a comparison"):
            read_comparison(tmp_path)
    write_json(tmp_path / "comparison.json", COMPARISON | {"pairs": []})
    with pytest.raises(DataError, match="compares nothing"):
        read_comparison(tmp_path)
