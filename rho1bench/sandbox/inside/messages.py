"""Messages between the processes of the sandbox: JSON with its length before it, over a stream socket."""

from __future__ import annotations

import json
import socket
import struct

LENGTH = struct.Struct("!I")


def send(connection: socket.socket, message: object) -> None:
    """Send one message; raises ``OSError``, and ``ValueError`` for what JSON cannot hold."""
    data = json.dumps(message).encode("ascii")
    connection.sendall(LENGTH.pack(len(data)) + data)


def receive(connection: socket.socket) -> object:
    """Read one message; raises ``EOFError`` if the other side goes before it is complete."""
    (length,) = LENGTH.unpack(_exactly(connection, LENGTH.size))
    message: object = json.loads(_exactly(connection, length))
    return message


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(min(count - len(data), 1 << 16))
        if not piece:
            raise EOFError("the other side of the connection is gone")
        data += piece
    return bytes(data)
