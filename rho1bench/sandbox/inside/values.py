"""Plain values as JSON: how arguments and results travel between the tests and the program that they test.

Only data travels: numbers, text, containers, and a number for every other object, which stays where it was made. A
program can therefore not hand the tests an object that compares as it likes, and what it sends is never run. Values of
derived types arrive as their plain type (a ``Counter`` as a dict, a named tuple as a tuple, ``numpy.int64`` as an int).
"""

from __future__ import annotations

import numbers
from collections import deque
from collections.abc import Callable, KeysView
from decimal import Decimal
from fractions import Fraction
from typing import cast

INT_BITS = 4096
"""Larger integers travel in hexadecimal: reading long decimal ones takes quadratic time, and Python refuses it."""

_GROUPS: dict[str, type[tuple[object, ...] | set[object] | frozenset[object] | deque[object]]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
}


def encode(value: object, export: Callable[[object], int]) -> object:
    """Return ``value`` as JSON can hold it; ``export`` gives the number of an object that is not plain data.

    Raises ``RecursionError`` for a container that holds itself.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= INT_BITS else {"int": hex(value)}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list):
        return [encode(item, export) for item in value]
    if isinstance(value, dict):
        return {"dict": [[encode(key, export), encode(item, export)] for key, item in value.items()]}
    for tag, kind in _GROUPS.items():
        if isinstance(value, kind):
            return {tag: [encode(item, export) for item in value]}
    if isinstance(value, KeysView):
        return {"set": [encode(item, export) for item in value]}
    return _encode_rare(value, export)


def _encode_rare(value: object, export: Callable[[object], int]) -> object:
    if isinstance(value, (bytes, bytearray)):
        return {"bytes" if isinstance(value, bytes) else "bytearray": value.hex()}
    if isinstance(value, range):
        return {"range": [hex(part) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, numbers.Integral):
        return encode(int(value), export)
    if isinstance(value, numbers.Rational):
        return {"fraction": [hex(int(value.numerator)), hex(int(value.denominator))]}
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, numbers.Complex):
        number = complex(value)
        return {"complex": [number.real, number.imag]}
    if hasattr(type(value), "shape") and hasattr(type(value), "item") and value.shape == ():  # type: ignore[attr-defined]
        return encode(value.item(), export)  # type: ignore[attr-defined]  # numpy's truth values and single numbers
    return {"object": export(value)}


def decode(data: object, resolve: Callable[[int], object]) -> object:
    """Return the value that ``encode`` described; ``resolve`` gives the object of a number.

    Raises ``ValueError``, ``TypeError``, ``ArithmeticError`` or ``RecursionError`` for what ``encode`` never makes.
    """
    if isinstance(data, list):
        return [decode(item, resolve) for item in data]
    if not isinstance(data, dict):
        return data
    ((tag, body),) = data.items()
    if tag == "dict":
        return {decode(key, resolve): decode(item, resolve) for key, item in body}
    if kind := _GROUPS.get(tag):
        return kind(decode(item, resolve) for item in body)
    return _decode_rare(tag, body, resolve)


def _decode_rare(tag: str, body: object, resolve: Callable[[int], object]) -> object:
    if tag == "object":
        return resolve(cast(int, body))
    if tag == "complex":
        return complex(*cast(list[float], body))
    if tag in ("range", "fraction"):
        parts = [int(part, 16) for part in cast(list[str], body)]
        return range(*parts) if tag == "range" else Fraction(*parts)
    text = cast(str, body)
    if tag == "int":
        return int(text, 16)
    if tag == "decimal":
        return Decimal(text)
    if tag in ("bytes", "bytearray"):
        return bytes.fromhex(text) if tag == "bytes" else bytearray.fromhex(text)
    raise ValueError(f"unknown kind of value: {tag!r}")
