"""Several nodes, all of them this machine: the numbers of one process, killed agents, srun, the signal of a scheduler.

Real runs through the command line, in agents and ranks of their own (gloo on a CPU); srun is a program that starts
them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import world
import yaml
from small_recipe import command, surroundings

from rho1bench.modeling.causal_lm import load_model, weights_sha256
from rho1bench.system.files import read_json, read_jsonl

pytestmark = pytest.mark.sweep
LAUNCH = Path(__file__).parents[2] / "recipes/launch"
TRAINED = ("reference", "slm", "sft")
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 2e-6, 2e-6
"""Between two processes and one, as in ``test_ranks``."""
STEPS = 60
"""Of SLM, in the middle of which runs are cut off."""
TWO_NODES = ("--nodes", "2", "--gpus-per-node", "1", "--launcher", "local")
SRUN = """#!{python}
'''Starts the command once a node, as srun does: each task learns its place, and one that fails ends the others.'''
import os, subprocess, sys, time

options = [word for word in sys.argv[1:] if word.startswith("--")]
nodes = next(int(word.partition("=")[2]) for word in options if word.startswith("--nodes="))
program = sys.argv[1 + next(place for place, word in enumerate(sys.argv[1:]) if not word.startswith("--")):]
with open(os.environ["SRUN_CALLS"], "a") as calls:
    print(*sys.argv[1:], file=calls)
tasks = [
    subprocess.Popen(program, env=dict(os.environ, SLURM_NODEID=str(node), SLURM_PROCID=str(node)))
    for node in range(nodes)
]
while any(task.poll() is None for task in tasks) and not any(task.poll() for task in tasks):
    time.sleep(0.05)
for task in tasks:
    if task.poll() is None:
        task.kill()
codes = [task.wait() for task in tasks]
first = next((code for code in codes if code not in (0, -9)), next((code for code in codes if code), 0))
sys.exit(first if first >= 0 else 128 - first)
"""


def write_recipe(path: Path) -> Path:
    """A reference, its scores, SLM and SFT, as small as can be."""
    strategy: dict[str, Any] = {"distributed": {"strategy": "ddp"}, "num_threads": 1, "batch_size": 4, "save_steps": 5}
    small = {**world.MODEL, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    tokens, clean, web, _ = world.inputs()
    sft = world.sft("sft", "slm", **strategy, max_steps=4, logging_steps=1)
    stages = [
        tokens,
        {**clean, "sources": [world.source("clean", 30)]},
        {**web, "sources": [world.source("web", 30)]},
        world.pretrain("reference", corpus="clean", init=small, **strategy, max_steps=4, logging_steps=1),
        {"name": "scores", "kind": "score", "reference": "reference", "corpus": "web"},
        world.pretrain(
            "slm", init="reference", selection=world.SELECTION, **strategy, max_steps=STEPS, logging_steps=1
        ),
        {**sft, "sources": [world.source("sft_tir", 20)]},
    ]
    path.write_text(yaml.safe_dump({"name": "tiny", "stages": stages}))
    return path


def start(recipe: Path, folder: Path, *options: str, **environment: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("run", recipe, "--output", folder, "--threads", "1", *options, fake=False),
        env=surroundings(**environment),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def carry_out(recipe: Path, folder: Path, *options: str, **environment: object) -> str:
    process = start(recipe, folder, *options, **environment)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return errors


def wait_for_resume_point(folder: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 600
    while not list((folder / "stages/slm/trainer").glob("checkpoint-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def before_slm(straight: Path, folder: Path) -> Path:
    """A run that has come as far as SLM."""
    shutil.copytree(straight, folder, ignore=shutil.ignore_patterns("slm", "sft", "recipe.yaml"))
    return folder


def agents(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The agents of torchrun among the descendants of a run, that of the first node first."""
    found = psutil.Process(process.pid).children(recursive=True)
    found = [one for one in found if "torch.distributed.run" in one.cmdline()]
    return sorted(found, key=lambda one: "--rdzv-conf=is_host=1" not in one.cmdline())


def assert_same_numbers(one: Path, other: Path, names: Sequence[str] = TRAINED, exact: bool = False) -> None:
    for name in names:
        logged = [read_jsonl(folder / "stages" / name / "metrics.jsonl") for folder in (one, other)]
        assert [row["step"] for row in logged[0]] == [row["step"] for row in logged[1]]
        for expected, found in zip(*logged, strict=True):
            assert found["loss"] == pytest.approx(expected["loss"], abs=0 if exact else LOSS_TOLERANCE)
        checkpoints = [folder / "stages" / name / "checkpoint" for folder in (one, other)]
        if exact:
            assert weights_sha256(checkpoints[0]) == weights_sha256(checkpoints[1])
        models = [load_model(path).state_dict() for path in checkpoints]
        assert max(float((models[0][key] - models[1][key]).abs().max()) for key in models[0]) < WEIGHT_TOLERANCE


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("nodes") / "tiny.yaml")


@pytest.fixture(scope="module")
def straight(recipe: Path) -> Path:
    """The run on two nodes."""
    folder = recipe.parent / "straight"
    said = carry_out(recipe, folder, *TWO_NODES)
    assert "nodes: 2 ranks have met, on " in said
    return folder


def test_two_nodes_have_the_numbers_of_one_process(recipe: Path, straight: Path) -> None:
    one = recipe.parent / "one"
    carry_out(recipe, one)
    assert_same_numbers(one, straight)
    scores = [np.load(next((run / "stages/scores").glob("*.npy"))).astype(np.float32) for run in (one, straight)]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-3)  # stored as float16
    for name in (*TRAINED, "scores"):
        assert not (straight / "stages" / name / "launch").exists()
        files = read_json(straight / "stages" / name / "manifest.json")["files"]
        assert not [file for file in files if "launch" in file]


def test_a_killed_agent_is_told_and_the_same_command_ends_with_the_same_numbers(recipe: Path, straight: Path) -> None:
    folder = before_slm(straight, recipe.parent / "killed")
    process = start(recipe, folder, "--only", "slm", *TWO_NODES)
    wait_for_resume_point(folder, process)
    _, second = agents(process)
    ranks = second.children()
    second.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    told = [line for line in errors.splitlines() if line.startswith("error: ")]
    hint = "often the system's answer to too little memory"
    assert told == [
        f"error: stage 'slm': the agent of node 1 was ended by SIGKILL ({hint}), and all other ranks were stopped. Run "
        "the same command again: the stage goes on from its last resume point."
    ]
    assert "Traceback" not in errors
    assert not psutil.wait_procs(ranks, timeout=30)[1]
    carry_out(recipe, folder, "--only", "slm", *TWO_NODES)
    assert_same_numbers(straight, folder, ["slm"], exact=True)


def test_the_batch_script_is_put_back_into_the_queue_and_ends_with_the_same_numbers(
    recipe: Path, straight: Path, tmp_path: Path
) -> None:
    """As SLURM does it: the signal goes to the script alone; standard input is empty."""
    calls, programs = tmp_path / "calls.txt", tmp_path / "bin"
    programs.mkdir()
    entry = "import sys; from rho1bench.cli.app import main; sys.exit(main())"
    for name, text in {
        "srun": SRUN.format(python=sys.executable),
        "scontrol": f"#!/bin/sh\necho scontrol $@ >> {calls}\n",
        "rho1bench": f"#!{sys.executable}\n{entry}\n",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = surroundings(
        PATH=f"{programs}:{os.environ['PATH']}",
        SRUN_CALLS=calls,
        MASTER_ADDR="127.0.0.1",
        SLURM_JOB_ID=7,
        SLURM_JOB_NUM_NODES=2,
        SLURM_GPUS_ON_NODE=1,
        SLURMD_NODENAME="here",
    )
    folder = before_slm(straight, tmp_path / "run")
    job = ["bash", str(LAUNCH / "slurm.sbatch"), str(recipe), str(folder), "--only", "slm", "--threads", "1"]
    options: dict[str, Any] = {"env": environment, "stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(job, **options)
    wait_for_resume_point(folder, process)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    assert "stopped as a signal asked" in errors
    assert calls.read_text().splitlines()[-1] == "scontrol requeue 7"
    assert calls.read_text().startswith("--nodes=2 --ntasks=2 --ntasks-per-node=1 --kill-on-bad-exit=1 ")
    again = subprocess.run(job, **options, timeout=600, check=False)
    assert again.returncode == 0, again.stderr
    assert "slm: resuming" in again.stderr
    assert_same_numbers(straight, folder, ["slm"], exact=True)
