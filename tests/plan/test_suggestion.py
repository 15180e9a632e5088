"""``rho1bench plan`` without a recipe: what the driver says of devices, and the largest recipe that fits them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from rho1bench.cli.app import app
from rho1bench.plan import suggestion
from rho1bench.plan.suggestion import ANYWHERE, Device, candidates, gpu_like, lines, read_devices, suggested


def cards(number: int, name: str, mebibytes: int) -> list[Device]:
    return list(read_devices(f"{name}, {mebibytes}\n" * number))


def test_lines_of_the_driver_are_read() -> None:
    assert list(read_devices("NVIDIA L4, 23034\nno devices were found\n")) == [Device("NVIDIA L4", 23034 * 2**20)]


@pytest.mark.parametrize(
    ("name", "mebibytes", "key"),
    [
        ("NVIDIA H100 80GB HBM3", 81559, "h100"),
        ("NVIDIA H100 PCIe", 81559, "h100-pcie"),
        ("NVIDIA H200", 143771, "h200"),
        ("NVIDIA A100-SXM4-80GB", 81920, "a100-80"),
        ("NVIDIA A100-SXM4-40GB", 40960, "a100-40"),
        ("NVIDIA GeForce RTX 4090", 24564, "rtx4090"),
        ("NVIDIA GeForce RTX 3090", 24576, "rtx3090"),
        ("NVIDIA A10G", 23028, None),
        ("NVIDIA L40S", 46068, "l40s"),
    ],
)
def test_a_device_is_known_by_name_and_memory(name: str, mebibytes: int, key: str | None) -> None:
    found = gpu_like(Device(name, mebibytes * 2**20))
    assert (found[0] if found else None) == key


@pytest.mark.parametrize(
    ("devices", "recipe"),
    [
        ([], ANYWHERE),
        (cards(1, "NVIDIA GeForce RTX 4090", 24564), "math_1b_24gb"),
        (cards(1, "NVIDIA T4", 15360), ANYWHERE),
        (cards(2, "NVIDIA A100-SXM4-80GB", 81920), "math_1b_80gb"),
        (cards(8, "NVIDIA H100 80GB HBM3", 81559), "math_1b"),
        (cards(8, "NVIDIA GeForce RTX 4090", 24564), "math_1b_24gb"),
    ],
)
def test_the_largest_recipe_that_fits_is_suggested(devices: list[Device], recipe: str) -> None:
    found = candidates(devices)
    assert suggested(found) == recipe
    said = lines(devices, found)
    assert said[-1].startswith(f"suggestion: rho1bench run {recipe}")
    assert said[-1].endswith(" --gpus-per-node 8") == (recipe == "math_1b")
    assert len(said) >= len(found) + 2


@pytest.mark.parametrize(
    ("devices", "shown"),
    [([], "so h100 is assumed"), (cards(1, "NVIDIA GeForce RTX 4090", 24564), "on 1 x NVIDIA GeForce RTX 4090")],
)
def test_a_plan_is_of_the_gpu_here_or_says_which_it_assumes(
    monkeypatch: pytest.MonkeyPatch, devices: list[Device], shown: str
) -> None:
    monkeypatch.setattr(suggestion, "find_devices", lambda: devices)
    said = " ".join(CliRunner().invoke(app, ["plan", "math_1b_24gb"]).output.split())
    assert shown in said
    assert ("is assumed; name yours" in said) == (not devices)
