"""``rho1bench verify``: a run's scores against a record's interval over documents, and against the spread of seeds."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fake_evaluations import SUITE, evaluated
from fake_records import fake_record, with_hashes, write_results
from small_recipe import rho1bench
from typer.testing import CliRunner

from rho1bench.cli.app import app
from rho1bench.errors import DataError
from rho1bench.leaderboard.records import origin, verify
from rho1bench.leaderboard.records.add import add
from rho1bench.leaderboard.records.record import Record, as_json, average_of, task_score

ROWS = 400


def model_of(seed: int, accuracy: float = 0.4, weights: str = "a") -> Record:
    """A record of the recipe's stage ``slm`` with a training seed; ``weights`` stands for what training gave."""
    data = fake_record(
        f"r.slm.seed{seed}", suite="mini_math9", seed=seed, accuracy=accuracy, rows=ROWS, training={"seed": seed}
    )
    data["model"]["weights_sha256"] = weights * 64
    return Record.model_validate(with_hashes(data))


def with_flips(record: Record, flips: int) -> Record:
    """The same documents, the first ``flips`` right answers of each task wrong."""
    changed = {name: task.scores.replace("1", "0", flips) for name, task in record.tasks.items()}
    tasks = {
        name: task.model_copy(update={"scores": changed[name], "score": task_score(changed[name])})
        for name, task in record.tasks.items()
    }
    data = as_json(record.model_copy(update={"tasks": tasks, "average": average_of(tasks)}))
    data["model"]["weights_sha256"] = "b" * 64
    return Record.model_validate(with_hashes(data))


def test_the_same_weights_and_scores_are_identical(tmp_path: Path) -> None:
    found = verify.verify(model_of(0), model_of(0), tmp_path)
    assert (found.verdict, found.changed_documents, found.same_weights) == ("identical", 0, True)
    assert found.seeds is None


def test_other_weights_with_the_same_scores_are_not_called_identical(tmp_path: Path) -> None:
    assert verify.verify(model_of(0), model_of(0, weights="b"), tmp_path).verdict == "within"


@pytest.mark.parametrize(("flips", "verdict"), [(2, "within"), (60, "outside")])
def test_the_tolerance_is_the_record_s_interval(tmp_path: Path, flips: int, verdict: str) -> None:
    record = model_of(0)
    found = verify.verify(record, with_flips(record, flips), tmp_path)
    assert found.verdict == verdict
    assert found.changed_documents == 9 * flips
    assert found.average.found == pytest.approx(record.average.score - flips / ROWS)
    assert found.average.inside == (record.average.ci[0] <= found.average.found)


def test_beyond_it_the_seeds_on_record_say_how_far_training_spreads(tmp_path: Path) -> None:
    records = [model_of(seed, accuracy) for seed, accuracy in ((0, 0.4), (1, 0.2), (2, 0.6))]
    results = write_results(tmp_path, map(as_json, records))
    found = verify.verify(records[0], with_flips(records[0], 60), results)
    assert (found.verdict, found.num_seeds) == ("within seeds", 3)
    assert found.seeds is not None
    assert found.seeds.low < 0.2


def test_where_one_more_draw_lies() -> None:
    assert verify.next_seed([0.3, 0.5]) is None
    found = verify.next_seed([0.4, 0.5, 0.6])
    assert found is not None  # 0.5 and t(0.975, 2) = 4.303 standard deviations of 0.1, times the root of 4/3
    assert found.low == pytest.approx(0.5 - 4.302653 * 0.1 * (4 / 3) ** 0.5, abs=1e-5)


def test_another_evaluation_is_refused(tmp_path: Path) -> None:
    data = as_json(model_of(0))
    data["evaluation"]["grader"] += 1
    with pytest.raises(DataError, match=r"evaluated otherwise .* differs in grader"):
        verify.verify(model_of(0), Record.model_validate(with_hashes(data)), tmp_path)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A results folder with the record of an evaluation; the evaluation lies in ``evals/tiny``."""
    (tmp_path / "evals").mkdir()
    results = write_results(tmp_path / "results", [])
    add(evaluated(tmp_path / "evals", "tiny"), results)
    return results


def verified(recorded: Path, monkeypatch: pytest.MonkeyPatch, output: Path, *more: str) -> tuple[int, str]:
    """The command, with a process that leaves ``output`` in place of the recorded command's."""

    def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert words[1:6] == ["-m", "rho1bench", "eval", "tiny", "--suite"]
        shutil.copytree(output, words[-1])
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(verify, "origin_problems", origin.origin_problems)
    folder = recorded.parent / "again"
    words = ["verify", f"{SUITE}/tiny", "--results", str(recorded), "--output", str(folder), *more]
    done = CliRunner().invoke(app, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def test_a_record_s_command_is_run_and_its_result_is_told(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, printed = verified(recorded, monkeypatch, recorded.parent / "evals", "--json", "-")
    assert code == 0
    assert json.loads(printed)["verdict"] == "identical"


def test_other_weights_of_a_checkpoint_from_elsewhere_are_refused(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "others").mkdir()
    evaluated(tmp_path / "others", "tiny", seed=1)
    with pytest.raises(DataError, match="other weights"):
        verified(recorded, monkeypatch, tmp_path / "others")


def test_a_folder_and_a_record_that_its_command_does_not_make_are_refused(recorded: Path) -> None:
    with pytest.raises(DataError, match="Give a record"):
        verify.read_record(str(recorded), recorded)
    path = recorded / "records" / SUITE / "tiny.json"
    data = json.loads(path.read_text()) | {"command": "rho1bench eval other --suite mini_tir7"}
    path.write_text(json.dumps(with_hashes(data)))
    with pytest.raises(DataError, match="its command does not make it"):
        verify.read_record(f"{SUITE}/tiny", recorded)


@pytest.mark.sweep
def test_a_run_lands_on_its_own_record(tmp_path: Path) -> None:
    """Made anew on the same machine, a run is its record bit for bit."""
    once = ["run", "quickstart", "--scale", "smoke", "--only", "compare", "--seed", "0", "--output", tmp_path / "once"]
    assert rho1bench(*once).returncode == 0
    results = tmp_path / "results"
    done = rho1bench("leaderboard", "add", tmp_path / "once", "--results", results)
    assert done.returncode == 0, done.stderr
    record = "mini_math9/quickstart.smoke.slm.seed0"
    name = next(path.stem for path in (results / "records" / "mini_math9").glob("quickstart.smoke.slm.*"))
    words = ["verify", record.rpartition("/")[0] + f"/{name}", "--results", results, "--output", tmp_path / "again"]
    done = rho1bench(*words)
    assert done.returncode == 0, done.stderr
    assert "verdict: 0.0 points, identical" in done.stdout
