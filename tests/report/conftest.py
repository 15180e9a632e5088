"""A finished run with its report, and a copy of it to spoil."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import write_run

from rho1bench.pipeline.stage import StageContext
from rho1bench.report import stage as report_stage


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> StageContext:
    context = write_run(tmp_path_factory.mktemp("run"))
    report_stage.run(context)
    return context


@pytest.fixture
def copied(context: StageContext, tmp_path: Path) -> StageContext:
    """The same run in a folder of its own, to be spoilt; its report is not written yet."""
    run = context.folder.parents[1]
    shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/stages/report/publish")
    inputs = {name: tmp_path / "copy" / path.relative_to(run) for name, path in context.inputs.items()}
    return replace(context, folder=tmp_path / "copy/stages/report", inputs=inputs)
