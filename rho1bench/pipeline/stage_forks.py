"""Forks the processes of stages from one that has imported their code.

Used by ``stage_children`` for stages that run side by side: torch and transformers take seconds of CPU time to import,
as long as a small stage trains, and a matrix has hundreds of stages. A server imports the module of each stage once,
then forks for every stage that needs it. A build of torch for an accelerator does not outlive a fork once anything has
asked for the device, so there every stage starts an interpreter of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version

from rho1bench.errors import RunError
from rho1bench.pipeline import stage_process
from rho1bench.system.packages import import_at_rest


class StageForks:
    """A handle on the server; made with the first stage, ended by :meth:`close`. One thread at a time may use it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def start(self, module: str, descriptors: tuple[int, int]) -> None:
        """Start a process that reads its job from the first descriptor and tells of itself through the second.

        ``module`` is imported before the fork. The last line of the second descriptor is the exit code:
        ``{"event": "exit", "arguments": [code]}``. Raises ``RunError`` if the server is gone.
        """
        if self._socket is None:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                command = [sys.executable, "-m", __name__, str(theirs.fileno())]
                self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),))
        try:
            socket.send_fds(self._socket, [module.encode()], descriptors)
        except BrokenPipeError:
            raise RunError(
                f"the process that starts stages was {self._ended()} (9: often for want of memory). What is done is "
                "kept; run the same command again, with a smaller jobs if memory was short."
            ) from None

    @property
    def pid(self) -> int | None:
        """The server's process, if there is one."""
        return self._server.pid if self._server else None

    def _ended(self) -> str:
        assert self._server is not None
        code = self._server.wait()
        return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"

    def close(self) -> None:
        """End the server; processes that it has started go on."""
        if self._socket is not None and self._server is not None:
            self._socket.close()  # ends the server
            self._server.wait()
            self._socket = self._server = None


def may_fork() -> bool:
    """Return whether stages survive a fork here: torch of the CPU, on Linux."""
    return sys.platform == "linux" and version("torch").endswith("+cpu")


def _serve(connection: socket.socket) -> int:
    """Fork for each request until nobody asks more; in the children return what their stage's process returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner ends the stages
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for stages
    while True:
        module, descriptors, _, _ = socket.recv_fds(connection, 4096, 2)
        if not module:
            return 0
        _import(module.decode())
        if os.fork() == 0:
            connection.close()
            return _stage(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _import(module: str) -> None:
    with suppress(ImportError):  # the stage meets it again and says it to the user
        import_at_rest(module)  # frozen, or a collection in a child would copy every page


def _stage(job: int, events: int) -> int:
    """Fork once more: one process runs the stage, the other waits for it and tells its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process = os.fork()
    if process == 0:
        os.dup2(job, 0)
        os.close(job)
        return stage_process.main(events=events)
    os.close(job)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with suppress(OSError), open(events, "w", encoding="utf-8") as pipe:  # the runner may have ended
        pipe.write(json.dumps({"event": "exit", "arguments": [code]}) + "\n")
    os._exit(0)


if __name__ == "__main__":
    sys.exit(_serve(socket.socket(fileno=int(sys.argv[1]))))
