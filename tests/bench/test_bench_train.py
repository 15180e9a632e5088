"""The training bench: the three ways run in processes of their own, and their figures are told and kept."""

from __future__ import annotations

import pytest
import torch

from rho1bench.bench import train, train_matrix
from rho1bench.bench.train_cells import HEAD, Cell, Job, Measurement, cells
from rho1bench.bench.train_variants import WAYS, Training, Workload
from rho1bench.errors import TrainingError

SMALL = Workload(32, 64, 2, 2, 2, vocab_size=500, block_size=16, batch_size=2, threads=1)


@pytest.mark.sweep
def test_three_ways_are_measured_in_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "default_workload", lambda: SMALL)
    found = train.measure(rounds=2, batch_size=None, threads=1)
    assert "ours / naive: speed" in train.report(found)
    assert list(found.ways) == list(WAYS)
    for way in found.ways.values():
        assert way.tokens_per_second > 0
        assert way.extra == way.peak - way.state
    assert found.rounds == 2


def test_parameters_are_counted_as_the_model_has_them() -> None:
    training = Training("ours", SMALL)
    layers = sum(parameter.numel() for parameter in training.model.model.layers.parameters())
    assert SMALL.shape.body_parameters == layers + SMALL.hidden_size
    assert Workload().shape.body_parameters == pytest.approx(25e6, rel=0.02)


@pytest.mark.sweep
def test_a_way_that_dies_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(TrainingError, match=r"naive SLM .* ended with code 1"),
        train.workers(("naive",), Workload(hidden_size=31)),
    ):
        pass
    capfd.readouterr()


def test_a_cell_has_rate_and_ratio() -> None:
    measured = Measurement(SMALL)
    cell = measured.cell("eager", "ours", [2.0, 4.0, 3.0], None, 1.5)
    assert cell == Cell("eager", "ours", 3.0, 32 / 3, None, None, 1.5)
    assert measured.peak("ours") is None
    slower = measured.cell("eager", "clm", [6.0], None, 1.5)
    result = train_matrix.ShapeResult({}, 1, [cell, slower])
    assert result.ratio("eager", "ours", "clm") == pytest.approx(2.0)
    assert result.ratio("compiled", "ours", "clm") is None


def test_what_comes_too_late_is_named() -> None:
    found = list(cells(Job(SMALL, modes=("eager",), seconds=-1.0)))
    assert found[0] == f"{HEAD}, clm: not measured, the time was up"
    assert len(found) == 8
    assert all(isinstance(one, str) for one in found)


def test_a_gpu_that_is_not_there_is_one_message() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert train_matrix.default_device() is None
    with pytest.raises(TrainingError, match="torch sees no GPU here"):
        train_matrix.run("cuda")


@pytest.mark.sweep
def test_shapes_and_ways_are_measured_as_on_a_gpu() -> None:
    result = train_matrix.run("cpu", modes=("eager",), rounds=1, steps=1)
    assert list(result.shapes) == list(train_matrix.SHAPES["cpu"])
    for found in result.shapes.values():
        assert not found.missing
        assert [(cell.mode, cell.way) for cell in found.cells] == [
            *((HEAD, way) for way in ("clm", "clm_fused", "ours_chunked", "ours")),
            *(("eager", way) for way in ("clm", "clm_fused", "naive", "ours")),
        ]
        assert found.ratio("eager", "ours", "naive") is not None
        losses = {cell.way: cell.loss for cell in found.cells if cell.mode == HEAD}
        assert losses["ours"] == pytest.approx(losses["ours_chunked"], rel=0.01)
        assert losses["clm_fused"] == pytest.approx(losses["clm"], rel=0.01)
    assert result.versions["torch"] == torch.__version__
    assert "CLM, head and loss compiled" in train_matrix.report(result)
