"""The process of a program that is tested: defines it as a module, then answers the calls of the tests.

It never holds the tests, only the arguments of the calls that they make, one after the other. What is not plain data
stays here under a number by which the tests can use it.
"""

from __future__ import annotations

import builtins
import operator
import os
import socket
import sys
import traceback
import types
from collections.abc import Callable
from typing import NoReturn, cast

from rho1bench.sandbox.inside import messages, program, values

MODULE = "program"
"""The name of a tested program: not ``__main__``, so what it guards with that name does not run."""
OPERATIONS: dict[str, Callable[..., object]] = {
    "call": lambda function, arguments, named: function(*arguments, **named),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": operator.getitem,
    "eq": operator.eq,
    "bool": bool,
    "len": len,
    "iter": iter,
    "next": next,
    "str": str,
    "repr": repr,
}
"""What the tests may do with an object that stays in this process."""


def serve(source: str, channel: int) -> NoReturn:
    """Run ``source`` as a module, report how that went over the socket ``channel``, and answer until it is closed."""
    connection = socket.socket(fileno=channel)
    module = types.ModuleType(MODULE)
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.modules[MODULE] = module
    try:
        program.execute(source, module)
    except BaseException as error:
        messages.send(connection, {"failed": traceback.format_exception_only(error)[-1].strip()})
        os._exit(1)
    messages.send(connection, {"defined": True})
    objects: list[object] = [module]
    try:
        while True:
            messages.send(connection, _answer(cast("list[object]", messages.receive(connection)), objects))
    except (EOFError, OSError):
        os._exit(0)


def _answer(request: list[object], objects: list[object]) -> dict[str, object]:
    """Carry out one operation; an exception is an answer too: its nearest built-in type and its text."""
    try:
        name, *arguments = request
        result = OPERATIONS[str(name)](*(values.decode(argument, objects.__getitem__) for argument in arguments))
        return {"value": values.encode(result, lambda value: _number_of(value, objects))}
    except BaseException as error:
        known = next(kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind)
        return {"raised": [known, _text_of(error)]}


def _number_of(value: object, objects: list[object]) -> int:
    objects.append(value)
    return len(objects) - 1


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""
