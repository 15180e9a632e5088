"""A full disk is one message, whatever library meets it: ``/dev/full`` takes no byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rho1bench.errors import RunError
from rho1bench.system.disk_errors import disk_errors

FULL = "/dev/full"


def save_array(size: int) -> None:
    with open(FULL, "wb") as handle:
        np.save(handle, np.zeros(size))


def save_tensor(size: int) -> None:
    torch.save({"tensor": torch.zeros(size)}, FULL)


def save_tensors(size: int) -> None:
    torch.save([torch.zeros(100) for _ in range(size // 100)], FULL)


@pytest.mark.skipif(not Path(FULL).exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("size", [100, 100_000])
@pytest.mark.parametrize("save", [save_array, save_tensor, save_tensors])
def test_a_full_disk_is_told_in_one_message(save: Callable[[int], None], size: int, tmp_path: Path) -> None:
    message = rf"^the disk that holds the run folder {tmp_path} is full \(\d+ MB left\)"
    with pytest.raises(RunError, match=message), disk_errors(tmp_path):
        save(size)


def test_other_errors_of_torch_pass_through(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shape"), disk_errors(tmp_path):
        torch.zeros(2) @ torch.zeros(3, 3)
