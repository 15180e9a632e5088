"""Counts the reads of tensors from the host: where the tensors lie on an accelerator, each waits for it.

A CPU shows them as well as a GPU: by the operations that give a Python number or a tensor whose shape depends on
values, and by the methods that hand out a tensor's memory.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

OPERATIONS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "bincount", "is_nonzero"}
METHODS = ("tolist", "cpu", "numpy")
PACKAGE = Path(__file__).resolve().parents[2] / "rho1bench"


class HostReads(TorchDispatchMode):
    """The reads so far, each by the line of the package (or else of a library) that asks for it."""

    def __init__(self) -> None:
        super().__init__()
        self.places: Counter[str] = Counter()

    def note(self) -> None:
        stack = [frame for frame in traceback.extract_stack()[:-2] if not frame.filename.startswith("<")]
        own = [frame for frame in stack if Path(frame.filename).is_relative_to(PACKAGE)]
        frame = (own or stack)[-1]
        self.places[f"{Path(frame.filename).name}:{frame.lineno} {frame.line}"] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        if name in OPERATIONS or by_mask:
            self.note()
        return func(*args, **(kwargs or {}))


@contextmanager
def host_reads() -> Iterator[HostReads]:
    """Count reads in this process until the end of the block."""
    reads, found = HostReads(), {name: getattr(torch.Tensor, name) for name in METHODS}

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            reads.note()
            return method(*args, **kwargs)

        return call

    try:
        for name, method in found.items():
            setattr(torch.Tensor, name, counted(method))
        with reads:
            yield reads
    finally:
        for name, method in found.items():
            setattr(torch.Tensor, name, method)
