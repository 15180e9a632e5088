"""``rho1bench power``: numbers by option, the spread of a contest, of pairs over seeds, and what is refused."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import yaml
from contest_recipe import DEV, contest_recipe, fewer, write_run
from eval_cli import CommandLine
from eval_folders import write_label
from small_recipe import SMALL

from rho1bench.comparison import stage as comparison_stage
from rho1bench.comparison.crossed_effects import crossed_mean, spread_of
from rho1bench.comparison.observed_spread import observed_spread
from rho1bench.comparison.power import Design, smallest_difference
from rho1bench.comparison.run_summary import RunSummary
from rho1bench.errors import DataError
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.report import stage as report_stage
from rho1bench.system.files import read_json, write_json
from rho1bench.system.progress import SilentProgress


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with a contest."""
    folder = tmp_path_factory.mktemp("contest")
    recipe = contest_recipe(folder, fewer)
    folders = write_run(folder / "stages", recipe, rows=20)
    for name, run in (("compare", comparison_stage.run), ("report", report_stage.run)):
        folders[name].mkdir()
        run(StageContext(recipe, recipe.stage(name), folders[name], folders, recipe.seed, SilentProgress()))
    shutil.copy(folders["report"] / "publish/summary.json", folder / "summary.json")
    return folder


def test_numbers_by_option(cli: CommandLine) -> None:
    ended = cli(
        "power", "--sd-seeds", 3, "--sd-documents", 45, "--sd-residual", 30, "--documents", 1080, "--seeds", 3,
        "--seeds", 5, "--tasks", 9, "--arms", 10, "--difference", 8,
    )  # fmt: skip
    assert ended.code == 0
    from rho1bench.comparison.crossed_effects import Spread
    from rho1bench.comparison.power import power_of

    spread, designs = Spread(0.03, 0.45, 0.3), [Design(number, 1080, 9, 0.005) for number in (3, 5)]
    for design in designs:
        assert f" {100 * smallest_difference(spread, design):.1f} " in ended.out
        assert f" {100 * power_of(0.08, spread, design):.0f}% " in ended.out
    assert f"3 seeds, 1,080 documents: {100 * smallest_difference(spread, designs[0]):.1f} points at 80%" in ended.out
    assert "p < 0.005" in ended.out


def test_a_contest_gives_the_middle_spread_of_its_arms(contest: Path, cli: CommandLine, tmp_path: Path) -> None:
    summary = RunSummary.model_validate(read_json(contest / "summary.json"))
    arms = [one.against["full"].spread for one in summary.contests[0].suites[0].arms if one.arm in ("random", "excess")]
    found = observed_spread(contest)
    assert found.spread.documents == pytest.approx(math.sqrt(median(one.documents**2 for one in arms)))
    assert found.spread.seeds == pytest.approx(math.sqrt(median((one.seeds or 0) ** 2 for one in arms)))
    assert (found.num_seeds, found.num_documents, found.num_tasks) == (3, 120, 6)
    assert f"2 arms against full on {DEV}" in cli("power", contest, "--suite", DEV).out
    record = tmp_path / "record.json"
    write_json(record, {"result": summary.contests[0].model_dump(mode="json")})
    assert observed_spread(record) == found


def test_pairs_over_seeds_give_their_spread(tmp_path: Path) -> None:
    data = yaml.safe_load(SMALL.read_text()) | {"seeds": [0, 1, 2, 3], "tuning_seeds": [0]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(data))
    facts = {"recipe": "small", "scale": "full", "seeds": [0, 1], "rho1bench_version": "0"}
    write_json(tmp_path / "summary.json", {"pairs": [], "schema": 1, **facts})
    generator = np.random.default_rng(0)
    answers = {
        name: {task: (generator.random((4, 15)) < 0.5).astype(float) for task in ("a", "b")} for name in ("slm", "clm")
    }
    for name, tasks in answers.items():
        for seed in range(4):
            rows = {task: values[seed].tolist() for task, values in tasks.items()}
            write_label(tmp_path / f"seed-{seed}/stages/eval", name, rows)
    expected = crossed_mean([answers["slm"][task][1:] - answers["clm"][task][1:] for task in ("a", "b")])
    found = observed_spread(tmp_path)
    wanted = spread_of(expected)
    for part in ("seeds", "documents", "residual"):
        assert getattr(found.spread, part) == pytest.approx(getattr(wanted, part))
    assert found.what == "slm against clm on mini_math9"
    assert load_recipe(str(tmp_path / "recipe.yaml")).tuning_seeds == [0]
    with pytest.raises(DataError, match="nothing is compared on 'mini'; suites: mini_math9"):
        observed_spread(tmp_path, "mini")


def test_what_has_no_spread_is_refused(tmp_path: Path, cli: CommandLine) -> None:
    ended = cli("power", "--sd-seeds", 3)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "error: which spread? Give a finished run or a contest's record to take it from, or --sd-documents in points "
        "(0 to 100).\n"
    )
    assert "no finished run" in cli("power", tmp_path).err
    (tmp_path / "x.json").write_text("[1]")
    assert "not the record of a contest" in cli("power", tmp_path / "x.json").err
    assert cli("power", tmp_path / "x.json").code == 2
