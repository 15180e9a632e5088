"""Commands that are built when they are called: ``rho1bench --help`` needs their names and first lines alone.

Typer reads the annotations of every command that it builds; for all of them that was a third of the help's time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

Target = Callable[..., None] | typer.Typer
"""What a name stands for: the function of a command, or a group of commands."""
Built = Any
"""A command or a context of typer, whose types are of its own private copy of click."""


class NamedCommand(TyperCommand):
    """A command as a list of commands shows it; ``built`` is the one that can be called."""

    def __init__(self, name: str, target: Target) -> None:
        words = target.info.help if isinstance(target, typer.Typer) else inspect.getdoc(target)
        super().__init__(name=name, help=words)
        self._name, self._target = name, target

    @cached_property
    def built(self) -> Built:
        """The command with its options, or the group with its commands."""
        alone = typer.Typer(add_completion=False)
        if isinstance(self._target, typer.Typer):
            alone.add_typer(self._target, name=self._name)
            return typer.main.get_group(alone).commands[self._name]
        alone.command(self._name)(self._target)
        return typer.main.get_command(alone)


class NamedCommands(TyperGroup):
    """A group that builds the command that is called, and no other."""

    targets: ClassVar[Mapping[str, Target]] = {}

    def __init__(self, **settings: Any) -> None:  # what typer hands over: its settings of a group
        settings["commands"] = {name: NamedCommand(name, target) for name, target in self.targets.items()}
        super().__init__(**settings)

    def resolve_command(self, ctx: Built, args: list[str]) -> tuple[str | None, Built, list[str]]:
        """Return the name, the command built and what is left of ``args``."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.built if isinstance(command, NamedCommand) else command, rest
