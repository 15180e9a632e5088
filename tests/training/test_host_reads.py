"""How often an optimizer step waits for the device, on the path that accelerators take: logits kept, AdamW fused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import world
from host_reads import host_reads

STEPS = 2
IN_SEQUENCE = {**world.SELECTION, "scope": "sequence"}
WAYS: dict[str, tuple[dict[str, Any], int]] = {
    # What is trained, and the reads of a step: of its sums, losses and gradient norm, all at once before the optimizer.
    "clm_accumulated": ({"micro_batch_size": 2}, 1),
    "sequence_accumulated": ({"selection": IN_SEQUENCE, "micro_batch_size": 2}, 1),
    # Ranked over the whole step: how many tokens each micro-batch keeps is known from the scores alone.
    "global_accumulated": ({"selection": world.SELECTION, "micro_batch_size": 2}, 2),
}


def reads_of_steps(shared: Path, out: Path, fields: dict[str, Any]) -> Counter[str]:
    """The reads of some steps in the middle of training: those of twice as many less those of as many."""
    found = []
    for steps in (STEPS, 2 * STEPS):
        folder = out / str(steps)
        folder.mkdir()
        world.link_shared(shared, folder)
        settings = {"kept_logits_gib": 1.0, "fused": True, "save_steps": 99, "logging_steps": 99, **fields}
        stages = [*world.scored(), world.pretrain("measured", max_steps=steps, **settings)]
        with host_reads() as reads:
            world.run_stages(stages, folder, only=["measured"])
        found.append(reads.places)
    return found[1] - found[0]


@pytest.mark.parametrize("name", WAYS)
def test_a_step_waits_for_the_device_no_more_than_it_must(name: str, shared: Path, tmp_path: Path) -> None:
    fields, reads = WAYS[name]
    places = reads_of_steps(shared, tmp_path, fields)
    assert sum(places.values()) == reads * STEPS, "\n".join(f"{count} {place}" for place, count in places.items())


def test_reads_are_counted() -> None:
    values = torch.tensor([1.0, 0.0])
    with host_reads() as reads:
        assert float(values[0])
        assert values.sum() > 0
        assert values.tolist() == [1.0, 0.0]
        assert len(values.nonzero()) == len(values[values > 0]) == 1
    assert sum(reads.places.values()) == 5
    assert values.tolist() == [1.0, 0.0]
    assert sum(reads.places.values()) == 5
