"""The process that tests a program: runs the tests, and never the program.

A program passes if this process reaches the end of the tests. It is no child of the program's and shares no memory
with it; the program can neither see the tests nor write what counts as the verdict, which is this process's exit
status. All that the program can do is to answer the calls of the tests with plain data.

Not covered: a program that knows the right answers without computing them, and tests that compare two objects of the
program's own classes with each other, which only the program can do.
"""

from __future__ import annotations

import builtins
import json
import os
import socket
import sys
import traceback
from collections.abc import Iterator
from typing import NoReturn, TypedDict

from rho1bench.sandbox.inside import messages, values

MODULE = 0
"""The number of the program's module."""


class Checks(TypedDict):
    """What a program has to do: tests, what they need beside it, the names that they take from the program."""

    setup: str
    tests: str
    names: list[str]


class ProgramError(Exception):
    """The program did what no test can go on from: it ended, or raised what is no ordinary exception."""


class Program:
    """The connection to the program; one request, one answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def wait_until_defined(self) -> None:
        """Raise ``ProgramError`` with the program's own last line if it could not be defined."""
        answer = self._receive()
        if "failed" in answer:
            raise ProgramError(str(answer["failed"]))

    def ask(self, operation: str, *arguments: object) -> object:
        """Let the program's process carry out an operation; raises what that raised, or ``ProgramError``."""
        messages.send(self._connection, [operation, *(values.encode(argument, _number_of) for argument in arguments)])
        answer = self._receive()
        if "raised" in answer:
            raise _exception(answer["raised"])
        return values.decode(answer.get("value"), lambda number: Remote(self, number))

    def take(self, name: str) -> object:
        """Return what the program's module calls ``name``. Raises ``NameError``, ``ProgramError``."""
        try:
            return self.ask("getattr", Remote(self, MODULE), name)
        except AttributeError:
            raise NameError(f"name {name!r} is not defined") from None

    def _receive(self) -> dict[str, object]:
        try:
            answer = messages.receive(self._connection)
        except (EOFError, OSError):
            raise ProgramError("the program ended before its tests did") from None
        if not isinstance(answer, dict):
            raise ProgramError("the program broke the connection to its tests")
        return answer


def _exception(raised: object) -> Exception:
    """Return the built-in exception that the program's process names, if it is one that tests may expect."""
    name, text = (str(part) for part in raised) if isinstance(raised, list) and len(raised) == 2 else ("", "")
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(text)
        except TypeError:  # a few need more than a text
            pass
    return ProgramError(f"{name}: {text}")


class Remote:
    """An object that stays in the program's process; equal only to an object of that process that says so."""

    def __init__(self, program: Program, number: int) -> None:
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def _ask(self, operation: str, *arguments: object) -> object:
        program: Program = object.__getattribute__(self, "_program")
        return program.ask(operation, self, *arguments)

    def __call__(self, *arguments: object, **named: object) -> object:
        """Call it."""
        return self._ask("call", arguments, named)

    def __getattr__(self, name: str) -> object:
        """Get one of its attributes."""
        return self._ask("getattr", name)

    def __setattr__(self, name: str, value: object) -> None:
        """Set one of its attributes."""
        self._ask("setattr", name, value)

    def __getitem__(self, key: object) -> object:
        """Get one of its items."""
        return self._ask("getitem", key)

    def __eq__(self, other: object) -> bool:
        """Compare with another object of the program; no plain value equals one."""
        return isinstance(other, Remote) and bool(self._ask("eq", other))

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        """Tell whether it counts as true."""
        return bool(self._ask("bool"))

    def __len__(self) -> int:
        """Return its length."""
        return int(self._ask("len"))  # type: ignore[call-overload,no-any-return]  # an int, or a TypeError as it ought to be

    def __iter__(self) -> Iterator[object]:
        """Go through its items, each fetched when it is asked for."""
        iterator = self._ask("iter")
        while True:
            try:
                yield next(iterator)  # type: ignore[call-overload]
            except StopIteration:
                return

    def __next__(self) -> object:
        """Return its next item."""
        return self._ask("next")

    def __str__(self) -> str:
        """Return its text."""
        return str(self._ask("str"))

    def __repr__(self) -> str:
        """Return its text for developers."""
        return str(self._ask("repr"))


def _number_of(value: object) -> int:
    if isinstance(value, Remote):
        number: int = object.__getattribute__(value, "_number")
        return number
    raise TypeError(f"a test passes a {type(value).__name__} to the program; only plain data can be passed")


def check(channel: int, description: int) -> NoReturn:
    """Run the tests in the file ``description`` on the program behind the socket ``channel``; exit 0 if all hold."""
    try:
        with open(description, "rb") as file:
            file.seek(0)
            checks: Checks = json.load(file)
        _run(Program(socket.socket(fileno=channel)), checks)
    except BaseException as error:
        sys.stderr.write(_last_line(error))
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _run(program: Program, checks: Checks) -> None:
    namespace: dict[str, object] = {"__name__": "tests"}
    program.wait_until_defined()
    exec(compile(checks["setup"], "setup.py", "exec", dont_inherit=True, optimize=0), namespace)
    for name in checks["names"]:
        namespace[name] = program.take(name)
    exec(compile(checks["tests"], "tests.py", "exec", dont_inherit=True, optimize=0), namespace)


def _last_line(error: BaseException) -> str:
    if isinstance(error, ProgramError):
        return str(error)
    return traceback.format_exception_only(error)[-1].strip()
