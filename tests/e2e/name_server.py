"""A name server for one Service: the test cluster has none, and `helm test` asks one."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

ADDRESS = "10.244.0.1"
HEADER = struct.Struct("!6H")
A, IN, ANSWERED, TTL = 1, 1, 0x8580, 1  # authoritative, recursion available, no error


@contextlib.contextmanager
def serving(resolv_conf: Path, addresses: Callable[[str], list[str]]) -> Iterator[None]:
    """Pods that start meanwhile ask us. `addresses` gives those of a name, without a dot at its end."""
    before = resolv_conf.read_text()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((ADDRESS, 53))
        listening.settimeout(0.2)
        stop = threading.Event()
        thread = threading.Thread(target=_serve, args=(listening, addresses, stop))
        thread.start()
        resolv_conf.write_text(f"nameserver {ADDRESS}\n")
        try:
            yield
        finally:
            resolv_conf.write_text(before)
            stop.set()
            thread.join()


def _serve(listening: socket.socket, addresses: Callable[[str], list[str]], stop: threading.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            query, asker = listening.recvfrom(512)
            listening.sendto(_answer(query, addresses), asker)


def _answer(query: bytes, addresses: Callable[[str], list[str]]) -> bytes:
    labels, at = [], HEADER.size
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode())
        at += 1 + length
    question = query[HEADER.size : at + 5]
    (kind,) = struct.unpack_from("!H", query, at + 1)
    found = addresses(".".join(labels)) if kind == A else []
    head = HEADER.pack(struct.unpack_from("!H", query)[0], ANSWERED, 1, len(found), 0, 0)
    pointer = struct.pack("!HHHIH", 0xC000 | HEADER.size, A, IN, TTL, 4)
    return head + question + b"".join(pointer + socket.inet_aton(address) for address in found)
