"""The processes that share a piece of work, as accelerate finds them: one, or those of ``accelerate launch``."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch

_PATIENCE = timedelta(days=7)
"""How long a process that has done its share waits for the others."""


class Processes:
    """This process among ``count``; ``device`` is the accelerator that is its own, else the CPU."""

    def __init__(self) -> None:
        self.index, self.count = 0, 1
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._state: Any = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            self._state = PartialState(cpu=self.device.type == "cpu", timeout=_PATIENCE)
            self.index, self.count = self._state.process_index, self._state.num_processes
            self.device = self._state.device

    @property
    def is_main(self) -> bool:
        """True for one of the processes."""
        return self.index == 0

    def from_main(self, value: list[int]) -> list[int]:
        """Return the main process's ``value`` in every process."""
        if self._state is None:
            return value
        from accelerate.utils import broadcast_object_list

        found: list[list[int]] = broadcast_object_list([value])
        return found[0]

    def wait(self) -> None:
        """Wait until every process is here."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def close(self) -> None:
        """Leave the group of processes."""
        if self._state is not None:
            self._state.destroy_process_group()
