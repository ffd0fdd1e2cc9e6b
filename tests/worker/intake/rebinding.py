"""Run in a mount namespace whose resolver is ours: fetches from names whose addresses change, and prints what was dialled."""

from __future__ import annotations

import json
import socket
import struct
import threading
from typing import Any

from worker.errors import FetchFailedError
from worker.intake.http_source import HttpSource
from worker.settings import FetchSettings

RESOLVER = "127.0.0.99"
PUBLIC, PRIVATE = "93.184.215.14", "127.0.0.1"
# What each name answers, one list of addresses after the other; the last one stays.
ANSWERS = {
    "rebinds.test": [[PUBLIC], [PRIVATE]],
    "both.test": [[PUBLIC, PRIVATE]],
    "private.test": [[PRIVATE]],
    "mapped.test": [["::ffff:127.0.0.1"]],
}


def answer(query: bytes, asked: dict[str, int]) -> bytes:
    """A reply with the addresses of the name's turn, and a time to live of zero."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += query[at] + 1
    name, end = ".".join(labels), at + 5
    kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
    turns = ANSWERS.get(name, [[]])
    family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
    if kind == 1:
        asked[name] = asked.get(name, 0) + 1
    addresses = turns[min(max(asked.get(name, 1), 1), len(turns)) - 1]
    found = [socket.inet_pton(family, a) for a in addresses if (":" in a) == (kind == 28)] if family else []
    records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(part)) + part for part in found)
    return query[:2] + struct.pack("!HHHHH", 0x8580, 1, len(found), 0, 0) + query[12:end] + records


def serve(listener: socket.socket, asked: dict[str, int]) -> None:
    """Answer for ever."""
    while True:
        query, sender = listener.recvfrom(2000)
        listener.sendto(answer(query, asked), sender)


def main() -> None:
    """Fetch twice from every name; print the addresses dialled and the reasons."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((RESOLVER, 53))
    asked: dict[str, int] = {}
    threading.Thread(target=serve, args=(listener, asked), daemon=True).start()
    dialled: list[str] = []

    def dial(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        dialled.append(address[0])
        raise ConnectionRefusedError("nobody is dialled in this test")

    socket.create_connection = dial  # type: ignore[assignment]
    source = HttpSource(FetchSettings(attempts=1))
    told: dict[str, list[str]] = {}
    for name in ANSWERS:
        for _ in range(2):
            try:
                source.fetch(f"http://{name}/a.jpg")
            except FetchFailedError as error:
                told.setdefault(name, []).append(error.code)
    print(json.dumps({"dialled": dialled, "told": told, "asked": asked}))


if __name__ == "__main__":
    main()
