"""Collecting what a program writes, until its supervisor reports or is overdue, or the output is too long."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Sequence
from typing import Literal

OUTPUT_BYTES = 1 << 20
STOP_SECONDS = 10.0
"""How long a supervisor may take to kill what is left of a program that is to be stopped."""

End = Literal["report", "output_limit", "overdue"]


class Capture:
    """Both outputs of one program and the connection over which its supervisor reports."""

    def __init__(self, connection: socket.socket, pipes: Sequence[int]) -> None:
        self._connection = connection
        self._pipes = pipes
        self._collected = (bytearray(), bytearray())
        for pipe in pipes:
            os.set_blocking(pipe, False)

    def wait(self, deadline: float) -> End:
        """Return why the wait ended, the program being dead; what it wrote before its end is complete."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            for number, pipe in enumerate(self._pipes):
                selector.register(pipe, selectors.EVENT_READ, number)
            while True:
                left = deadline - time.monotonic()
                events = selector.select(left) if left > 0 else []
                if not events:
                    return "overdue"
                ready = [key.data for key, _ in events]
                for number in {0, 1} if None in ready else ready:
                    if self._read(number) and None not in ready:
                        selector.unregister(self._pipes[number])
                if max(map(len, self._collected)) > OUTPUT_BYTES:
                    return self._stop()
                if None in ready:
                    return "report"

    def _stop(self) -> End:
        """Have the supervisor kill a program that writes too much, and wait until it has done so."""
        self._connection.settimeout(STOP_SECONDS)
        try:
            self._connection.send(b"stop")
            self._connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return "overdue"
        except OSError:
            pass
        return "output_limit"

    def _read(self, number: int) -> bool:
        """Read what is there, a little more than the limit at most; True at the pipe's end."""
        pipe, collected = self._pipes[number], self._collected[number]
        while len(collected) <= OUTPUT_BYTES:
            try:
                piece = os.read(pipe, 1 << 16)
            except BlockingIOError:
                return False
            if not piece:
                return True
            collected += piece
        return False

    def text(self, number: int) -> str:
        """Return the collected output (0) or error output (1), cut to the limit."""
        return self._collected[number][:OUTPUT_BYTES].decode("utf-8", errors="replace")
