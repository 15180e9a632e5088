"""The training bench: the three ways run in processes of their own, and their figures are told and kept."""

from __future__ import annotations

import pytest

from rho1bench.bench import train
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
