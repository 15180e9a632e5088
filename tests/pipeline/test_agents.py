"""The agents of a launch end together; here each is a small shell program in the place of torchrun."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rho1bench.errors import RunError
from rho1bench.pipeline import agents as module
from rho1bench.pipeline.agents import Agents
from rho1bench.pipeline.torchrun import AgentCommand


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.4)


def start(folder: Path, *programs: str) -> Agents:
    return Agents([AgentCommand(f"agent {i}", ["sh", "-c", text]) for i, text in enumerate(programs)], folder)


def test_lines_of_all_agents_are_heard(tmp_path):
    agents = start(tmp_path, "echo one; echo noise >&2", "echo two")
    assert sorted(agents.lines()) == ["one\n", "two\n"]
    assert sorted((ending.name, ending.code) for ending in agents.endings) == [("agent 0", 0), ("agent 1", 0)]
    assert {ending.name: ending.log for ending in agents.endings} == {"agent 0": "noise\n", "agent 1": ""}


@pytest.mark.parametrize("other", ["read wish", "exec sleep 60"])
def test_one_that_fails_ends_the_others(tmp_path, other):
    """By the end of standard input, or, where an agent does not look at it, by a signal."""
    began = time.monotonic()
    agents = start(tmp_path, other, "echo broken >&2; exit 3")
    assert list(agents.lines()) == []
    assert (agents.endings[0].name, agents.endings[0].code, agents.endings[0].log) == ("agent 1", 3, "broken\n")
    assert agents.endings[1].code != 0
    assert time.monotonic() - began < 30


def test_ranks_that_a_killed_agent_leaves_behind_end(tmp_path):
    """Its process is gone, but a rank of it holds the pipe and waits for the end of standard input."""
    agents = start(tmp_path, "(read wish; echo rank ends) <&0 & kill -9 $$")
    assert list(agents.lines()) == ["rank ends\n"]
    assert agents.endings[0].code == -9


def test_a_wish_to_stop_reaches_the_ranks_and_ends_all(tmp_path):
    stops = 'read wish; echo \'{"event": "stopped", "arguments": []}\'; exit 0'
    agents = start(tmp_path, stops, "read wish; read more")
    agents.ask_to_stop()
    assert [line for line in agents.lines() if line.startswith('{"event": "stopped"')]
    assert len(agents.endings) == 2


def test_a_command_that_is_not_there_leaves_no_other_behind(tmp_path):
    began = time.monotonic()
    with pytest.raises(RunError, match="'no-such-command' is not installed here"):
        Agents([AgentCommand("one", ["sleep", "60"]), AgentCommand("srun", ["no-such-command"])], tmp_path)
    assert time.monotonic() - began < 30
