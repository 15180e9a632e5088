"""Records as the hub's ``.eval_results``: read back by the hub's own library, and nothing of a part of a test set."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from fake_records import fake_record, write_results
from huggingface_hub import parse_eval_result_entries
from typer.testing import CliRunner

from rho1bench.cli.app import app
from rho1bench.errors import DataError
from rho1bench.leaderboard.records.model_page import eval_results, read_datasets
from rho1bench.leaderboard.records.record import Record


def test_the_hub_reads_what_is_written(tmp_path: Path) -> None:
    data = fake_record()
    results = write_results(tmp_path / "results", [data])
    words = ["leaderboard", "card", data["id"], "--results", str(results), "--output", str(tmp_path / "model")]
    done = CliRunner().invoke(app, [*words, "--dataset", "rho1_svamp_cot=owner/svamp:default"])
    path = tmp_path / "model/.eval_results/rho1_math9.yaml"
    assert done.stdout == f"wrote {path}\n"
    entries = {entry.dataset_id: entry for entry in parse_eval_result_entries(yaml.safe_load(path.read_text()))}
    assert set(entries) == {"openai/gsm8k", "owner/svamp"}
    assert entries["openai/gsm8k"].value == pytest.approx(100 * data["tasks"]["rho1_gsm8k_cot"]["score"], abs=0.005)
    assert data["sha256"][:12] in entries["openai/gsm8k"].notes


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"limit": 20}, "a model's page shows whole test sets"),
        ({"suite": "mini_math9"}, "none of its tasks is a data set of the hub"),
    ],
)
def test_parts_and_invented_tasks_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        eval_results(Record.model_validate(fake_record(**settings)), {})


@pytest.mark.parametrize("text", ["rho1_gsm8k_cot", "a=b:c", "a=b/c", "=b/c:d"])
def test_data_sets_have_one_form(text: str) -> None:
    with pytest.raises(DataError, match="expected TASK=OWNER/DATASET:TASK_ID"):
        read_datasets([text])


def test_a_task_that_the_record_has_not_is_named() -> None:
    with pytest.raises(DataError, match="has no such task"):
        eval_results(Record.model_validate(fake_record()), {"gsm8k": ("openai/gsm8k", "main")})
