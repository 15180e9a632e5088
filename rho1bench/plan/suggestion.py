"""Which shipped recipe the devices of this machine can carry out: ``rho1bench plan`` without a recipe.

The scales of one experiment (paper table 1), the largest first; the first that fits is suggested.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from rho1bench.plan.estimate import RunPlan
from rho1bench.plan.tables import make_plan
from rho1bench.recipe import Recipe
from rho1bench.recipe.loading.load import load_recipe
from rho1bench.sizing.gpus import GPU, GPUS

LADDER = (("math_1b", 8), ("math_1b_80gb", 1), ("math_1b_24gb", 1))
"""Recipes, and how many GPUs of one machine each is for."""
ANYWHERE = "quickstart"
"""Needs no GPU."""
ASSUMED = "h100"
"""The GPU of a plan where none is named and none is here."""
_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Device:
    """A GPU as the driver describes it; ``memory`` in bytes."""

    name: str
    memory: float


@dataclass(frozen=True)
class Candidate:
    """A recipe and what it needs; ``lack`` says why it does not fit, and is empty where it does."""

    recipe: str
    num_gpus: int
    memory: float
    hours: float | None
    lack: str


def find_devices() -> list[Device]:
    """Return the NVIDIA GPUs of this machine; none where there is no driver, or it does not answer."""
    if shutil.which(_QUERY[0]) is None:
        return []
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return list(read_devices(done.stdout)) if done.returncode == 0 else []


def read_devices(text: str) -> Iterable[Device]:
    """Yield the devices of lines ``NAME, MEBIBYTES``."""
    for line in text.splitlines():
        name, _, memory = line.rpartition(",")
        if name and memory.strip().isdecimal():
            yield Device(name.strip(), int(memory) * 2**20)


def gpu_like(device: Device) -> tuple[str, GPU] | None:
    """Return the known GPU whose name and memory a device has; None if there is none."""
    words = {key: re.split(r"[-\s]", GPUS[key].title.removeprefix("NVIDIA ").lower())[:3] for key in GPUS}
    name = set(re.split(r"[-\s]", device.name.lower()))
    near = [
        (abs(gpu.memory - device.memory), -len(name & set(words[key])), key)
        for key, gpu in GPUS.items()
        if key.split("-")[0].removeprefix("rtx") in name and abs(gpu.memory - device.memory) < 0.1 * gpu.memory
    ]
    if not near:
        return None
    key = min(near, key=lambda one: (one[1], one[0]))[2]
    return key, GPUS[key]


def gpu_here() -> str | None:
    """Return the known GPU that this machine has; None if there is none."""
    known = next(map(gpu_like, find_devices()), None)
    return None if known is None else known[0]


def candidates(devices: Sequence[Device]) -> list[Candidate]:
    """Return every recipe of :data:`LADDER` with what it lacks on ``devices``, which are alike."""
    return [_candidate(name, number, devices) for name, number in LADDER]


def _candidate(name: str, number: int, devices: Sequence[Device]) -> Candidate:
    recipe = _loaded(name)
    known = gpu_like(devices[0]) if devices else None
    plan = make_plan(recipe, known[0] if known else ASSUMED, number)
    needed = _memory(plan)
    lack = ""
    if len(devices) < number:
        lack = f"{len(devices)} of {number} GPUs"
    elif (least := min(device.memory for device in devices)) < needed:
        lack = f"{least / 1e9:.1f} of {needed / 1e9:.1f} GB"
    return Candidate(name, number, needed, plan.hours if known else None, lack)


@cache
def _loaded(name: str) -> Recipe:
    return load_recipe(name)


def _memory(plan: RunPlan) -> float:
    return max((stage.memory.total for stage in plan.stages if stage.memory is not None), default=0.0)


def suggested(found: Sequence[Candidate]) -> str:
    """Return the first recipe that fits; :data:`ANYWHERE` where none does."""
    return next((one.recipe for one in found if not one.lack), ANYWHERE)


def lines(devices: Sequence[Device], found: Sequence[Candidate]) -> list[str]:
    """Return the suggestion in words."""
    names = {device.name for device in devices}
    seen = f"{len(devices)} x {', '.join(sorted(names))}" if devices else "no NVIDIA GPU"
    text = [f"devices: {seen}"]
    for one in found:
        hours = "" if one.hours is None else f", about {one.hours:,.0f} h at an assumed MFU of 0.4"
        says = f"too little: {one.lack}" if one.lack else f"fits{hours}"
        text.append(f"  {one.recipe:<13} {one.num_gpus} x {one.memory / 1e9:.1f} GB  {says}")
    name = suggested(found)
    if name == ANYWHERE:
        text.append(f"  {ANYWHERE:<13} a CPU is enough; `--scale smoke` runs any other recipe in miniature")
    number = next((one.num_gpus for one in found if one.recipe == name), 1)
    text.append(f"suggestion: rho1bench run {name}{f' --gpus-per-node {number}' if number > 1 else ''}")
    return text
