"""How many nodes and processes a run has, the commands that start them, and what is said when they end early."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from small_recipe import SMALL

from rho1bench.errors import RecipeError, RunError
from rho1bench.pipeline import launch as launches
from rho1bench.pipeline import stage_children, stage_process, torchrun
from rho1bench.pipeline.launch import Launch, find_launch
from rho1bench.pipeline.torchrun import Ending, agent_commands, launch_failure, missing_gpus, with_own_gpus
from rho1bench.recipe import PretrainedModel
from rho1bench.recipe.loading.load import load_recipe

SLURM = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "4", "SLURM_GPUS_ON_NODE": "8", "SLURMD_NODENAME": "a1"}
TEMPLATE = "ssh node{node} {command}"
JOB = Path("/shared/run/stages/slm/launch/job.json")


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ({}, {}, Launch(1, 2)),
        ({"gpus_per_node": 8}, {}, Launch(1, 8)),
        ({"nodes": 2, "launcher": "local"}, {}, Launch(2, 2)),
        ({"nodes": 2, "launcher": TEMPLATE}, {}, Launch(2, 2, TEMPLATE)),
        ({}, SLURM, Launch(4, 8, "slurm")),
        ({"nodes": 2, "gpus_per_node": 1}, SLURM, Launch(2, 1, "slurm")),
        ({"launcher": "local"}, SLURM, Launch(4, 8, "local")),
        ({}, {**SLURM, "SLURM_JOB_NUM_NODES": "1"}, Launch(1, 8)),
        ({}, {"SLURM_GPUS_PER_NODE": "h100:4"}, Launch(1, 4)),
        ({"launcher": TEMPLATE}, {"PET_NNODES": "3", "PET_NPROC_PER_NODE": "2"}, Launch(3, 2, TEMPLATE)),
        ({}, {"PET_NPROC_PER_NODE": "auto"}, Launch(1, 2)),
    ],
)
def test_options_come_before_the_surroundings_and_these_before_the_machine(options, environment, expected):
    assert find_launch(**options, environment=environment, gpus_here=lambda: 2) == expected


@pytest.mark.parametrize(
    ("options", "environment", "words"),
    [
        ({"nodes": 2}, {}, "nothing says how to start them"),
        ({"nodes": 2, "launcher": "slurm"}, {}, "SLURM_JOB_ID is not set"),
        ({}, {"SLURM_JOB_ID": "7", "SLURM_NNODES": "2"}, "SLURMD_NODENAME is not set"),
        ({"nodes": 2, "launcher": "mpirun"}, {}, r"expected local, slurm, or a command line with \{command\}"),
        ({}, {**SLURM, "SLURM_STEP_NUM_TASKS": "4"}, "without srun"),
        (
            {},
            {"TORCHELASTIC_RUN_ID": "x", "GROUP_WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "8"},
            "say --nodes 4 --gpus-per-node 8 instead",
        ),
    ],
)
def test_what_cannot_be_started_is_said(options, environment, words):
    with pytest.raises(RunError, match=words):
        find_launch(**options, environment=environment, gpus_here=lambda: 0)


def test_a_runner_takes_no_rank_for_its_own(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "0")
    launches.leave_ranks_to_stages()
    assert not {"WORLD_SIZE", "RANK"} & set(os.environ)


def test_stages_that_work_in_ranks_are_those_that_say_how():
    recipe = load_recipe(str(SMALL), ["stages.slm.distributed={strategy: ddp}"])
    started = {stage.name for stage in recipe.stages if Launch(1, 2).starts_ranks(stage)}
    assert started == {"slm", "scores"}
    assert not any(Launch().starts_ranks(stage) for stage in recipe.stages)


def test_the_number_of_processes_has_left_recipes():
    with pytest.raises(
        RecipeError, match=r"stages\.slm\.distributed: num_processes is no part of a recipe .*--nodes N"
    ):
        load_recipe(str(SMALL), ["stages.slm.distributed={strategy: ddp, num_processes: 8}"])


def lines(launch: Launch) -> list[str]:
    return [shlex.join(one.command) for one in agent_commands(launch, JOB, "nonce", "first:29500")]


def test_one_node_needs_no_meeting_place():
    (line,) = lines(Launch(1, 4))
    program = f"-m rho1bench.pipeline.stage_process {JOB} nonce"
    assert line == f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node=4 {program}"


def test_srun_starts_one_agent_a_node(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "96")
    (line,) = lines(Launch(4, 8, "slurm"))
    start = "srun --nodes=4 --ntasks=4 --ntasks-per-node=1 --cpus-per-task=96 --kill-on-bad-exit=1 "
    assert line.startswith(start + sys.executable)
    for part in ("--nnodes=4", "--nproc-per-node=8", "--rdzv-backend=c10d", "--rdzv-endpoint=first:29500"):
        assert f" {part} " in line


def test_local_nodes_meet_on_this_machine():
    first, second = lines(Launch(2, 1))
    assert "--rdzv-conf=is_host=1 --local-addr=127.0.0.1" in first
    assert "--rdzv-conf=is_host=0 --local-addr=127.0.0.1" in second
    assert "--rdzv-endpoint=127.0.0.1:" in shlex.join(agent_commands(Launch(2, 1), JOB, "nonce")[0].command)


def test_a_template_reaches_the_other_nodes_or_all_at_once():
    first, second = agent_commands(Launch(2, 1, "echo on {node} of {nodes}: {command}"), JOB, "nonce", "first:1")
    assert first.command[0] == sys.executable
    said = subprocess.run(second.command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"on 1 of 2: {sys.executable} -m torch.distributed.run --nnodes=2")
    (together,) = agent_commands(Launch(2, 1, "pdsh -w all {command}"), JOB, "nonce", "first:1")
    assert together.command[:2] == ["sh", "-c"]


def test_local_nodes_share_the_gpus_of_the_machine(monkeypatch):
    monkeypatch.setattr(torchrun, "num_gpus", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    launch = Launch(2, 2)
    shares = [dict(one.environment) for one in with_own_gpus(launch, agent_commands(launch, JOB, "nonce"))]
    assert shares == [{"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"}]
    assert missing_gpus(launch) is None
    assert "takes 6 GPUs, and it shows 4" in str(missing_gpus(Launch(2, 3)))
    assert missing_gpus(Launch(2, 8, "slurm")) is None


TORCHRUN_LOG = (
    "Traceback\nKeyError: 'x'\nE1125 23:50:17 7 torch/distributed/elastic/multiprocessing/api.py:8] failed "
    "(exitcode: {code})\nTraceback of torchrun\nRoot Cause:\n rank : 1 (local_rank: 0)\n exitcode : {code} (pid: 7)\n"
)
FOLLOWED = Ending("the agent of node 0", 1, "Traceback\nRuntimeError: Connection closed by peer\n")


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending("the agent of node 1", 1, TORCHRUN_LOG.format(code=-9)), "rank 1 was ended by SIGKILL (often"),
        (Ending("the agent of node 1", -9, ""), "the agent of node 1 was ended by SIGKILL (often"),
        (Ending("srun", 137, ""), "srun was ended by SIGKILL"),
        (Ending("srun", 143, ""), "srun was ended by SIGTERM, and all other ranks were stopped. Run the same command"),
    ],
)
def test_a_signal_is_told_before_what_followed_from_it(ending, words):
    error = launch_failure("slm", [FOLLOWED, ending])
    assert isinstance(error, RunError)
    assert str(error).startswith(f"stage 'slm': {words}")


def test_a_rank_with_a_bug_shows_its_traceback():
    error = launch_failure("slm", [Ending("torchrun", 1, TORCHRUN_LOG.format(code=1))])
    assert isinstance(error, RuntimeError)
    assert str(error).endswith("KeyError: 'x'")


def test_a_launcher_that_reaches_no_node_is_quoted():
    error = launch_failure("slm", [Ending("the agent of node 1", 255, "ssh: connect to host b2: refused\n")])
    assert isinstance(error, RunError)
    assert "the agent of node 1 ended with code 255:\nssh: connect to host b2: refused" in str(error)


def test_a_rank_that_sees_another_disk_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_process, "SECONDS_UNTIL_SHARED", 0.0)
    monkeypatch.setenv("RANK", "5")
    job = tmp_path / "job.json"
    for text in (None, '{"nonce": "of another launch"}'):
        if text is not None:
            job.write_text(text)
        reading, writing = os.pipe()
        assert stage_process._shared_job(job, "nonce", writing) is None
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        assert said.startswith('{"event": "error", "arguments": ["rank 5 on ')
        assert "on a disk that all nodes share" in said
    job.write_text('{"nonce": "nonce"}')
    assert stage_process._shared_job(job, "nonce", 1) == {"nonce": "nonce"}


def test_only_a_pipe_is_watched(tmp_path):
    reading, writing = os.pipe()
    with open(os.devnull) as nothing, (tmp_path / "file").open("w") as file:
        assert stage_process._is_pipe(reading)
        assert not stage_process._is_pipe(nothing.fileno())
        assert not stage_process._is_pipe(file.fileno())
    os.close(reading)
    os.close(writing)
    assert not stage_process._is_pipe(reading)


def test_what_ranks_read_from_the_hub_is_fetched_before_them(monkeypatch):
    asked: list[tuple[str, str | None]] = []
    monkeypatch.setattr(stage_children, "find_model", lambda name, revision: asked.append((name, revision)))
    slm = load_recipe(str(SMALL)).stage("slm")
    stage_children.fetch_models(slm)
    assert asked == []
    stage_children.fetch_models(slm.model_copy(update={"init": PretrainedModel(pretrained="o/m", revision="r")}))
    assert asked == [("o/m", "r")]
