"""Messages over a stream of bytes: eight bytes of length, then the message."""

from typing import BinaryIO


def write(pipe: BinaryIO, message: bytes) -> None:
    """Write a message. Raises OSError if nobody will read it."""
    pipe.write(len(message).to_bytes(8, "big") + message)
    pipe.flush()


def read(pipe: BinaryIO) -> bytes | None:
    """Wait for a message; None at the end of the stream, in the middle of a message too."""
    length = int.from_bytes(pipe.read(8), "big")
    message = pipe.read(length)
    return message if message and len(message) == length else None
