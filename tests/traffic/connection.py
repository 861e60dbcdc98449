"""One HTTP/1.1 connection, low enough to tell a reset before the first byte from everything else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class BrokenBeforeFirstByte(Exception):
    """The connection could not be made, or ended before a byte of the answer came: safe to retry once."""


class Broken(Exception):
    """The answer began and did not end."""


@dataclass(frozen=True)
class Response:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The parsed body; None when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Connection:
    """Keep-alive unless told to close; opened when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.number = 0  # how many connections were opened so far: names the one in use

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Send one request and read its whole answer."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
                self.number += 1
            reader, writer = self._streams
            lines = [f"POST {path} HTTP/1.1", f"host: {self._host}:{self._port}", f"content-length: {len(body)}"]
            lines += [f"{k}: {v}" for k, v in headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
            first = await reader.read(1)
        except OSError as error:
            self.close()
            raise BrokenBeforeFirstByte(str(error)) from error
        except BaseException:
            self.close()
            raise
        if not first:
            self.close()
            raise BrokenBeforeFirstByte("closed by the other side")
        try:
            response = await _read(reader, first)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.close()
            raise Broken(f"{type(error).__name__}: {error}") from error
        except BaseException:
            self.close()
            raise
        if response.headers.get("connection", "").lower() == "close":
            self.close()
        return response

    def close(self) -> None:
        """Forget the connection; the next request opens another."""
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None


async def _read(reader: asyncio.StreamReader, first: bytes) -> Response:
    head = first + await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Response(int(status_line.split()[1]), headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body
