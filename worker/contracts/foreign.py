"""Names what a body is that is not JSON, and what its sender should change. For people: programs go by the reason code."""

from __future__ import annotations

__all__ = ["describe"]

REGISTRY = "use a JSON serializer without a schema registry"
PLAIN = "send the bytes of the JSON itself; Kafka compresses batches by the producer's compression.type"
URL = "send an event that names its URL"
MAGIC = (
    (b"Obj\x01", "an Avro object container", REGISTRY),
    (b"\xc3\x01", "Avro's single-object encoding", REGISTRY),
    (b"\x1f\x8b", "gzip", PLAIN),
    (b"\x28\xb5\x2f\xfd", "Zstandard", PLAIN),
    (b"\x04\x22\x4d\x18", "LZ4", PLAIN),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy", PLAIN),
    (b"\x82SNAPPY\x00", "Snappy", PLAIN),
    (b"\xac\xed\x00\x05", "a serialized Java object", "use a JSON or string serializer"),
    (b"\xff\xd8\xff", "a JPEG picture", URL),
    (b"\x89PNG", "a PNG picture", URL),
    (b"GIF8", "a GIF picture", URL),
    (b"RIFF", "a WebP picture", URL),
    (b"<", "XML or HTML", "send JSON"),
    (b"{'", "a Python dictionary as it prints", "write it with json.dumps"),
)
FRAME = 5
GLUE_FRAME = 18
MOST_FIELDS = 1000


def describe(body: bytes) -> str | None:
    """What ``body`` looks like, and the remedy; ``None`` if it looks like nothing that is known."""
    for start, what, remedy in MAGIC:
        if body.startswith(start):
            return f"it looks like {what}; {remedy}"
    if _is_utf32_or_16(body):
        return "it looks like UTF-16 or UTF-32; send UTF-8"
    if len(body) > FRAME and body.startswith(b"\x00\x00"):
        inside = "JSON" if body[FRAME:].lstrip()[:1] in {b"{", b"["} else "Avro or Protobuf"
        schema = int.from_bytes(body[1:FRAME])
        return f"it looks like Confluent's wire format (magic byte 0, schema {schema}) with {inside} behind it; {REGISTRY}"
    if len(body) > GLUE_FRAME and body[0] == 3 and body[1] in {0, 5}:
        return f"it looks like the wire format of AWS Glue's schema registry; {REGISTRY}"
    if _may_be_protobuf(body):
        return f"it may be Protobuf; {REGISTRY}"
    return None


def _is_utf32_or_16(body: bytes) -> bool:
    """By the byte order mark, or by where the zeros of ASCII characters stand (RFC 4627, 3) in the first eight bytes."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        return True
    zeros = "".join("0" if byte == 0 else "x" for byte in body[:8])
    return zeros in {"x0x0x0x0", "0x0x0x0x", "x000x000", "000x000x"}


def _may_be_protobuf(body: bytes) -> bool:
    """Whether the whole body is a sequence of Protobuf fields, and no text."""
    if body.isascii() and not any(byte < 9 for byte in body):
        return False
    place = fields = 0
    while place < len(body) and fields < MOST_FIELDS:
        tag, place = _varint(body, place)
        if tag >> 3 == 0:
            return False
        match tag & 7:
            case 0:
                _, place = _varint(body, place)
            case 1:
                place += 8
            case 2:
                length, place = _varint(body, place)
                place += length
            case 5:
                place += 4
            case _:
                return False
        fields += 1
    return place == len(body) or (fields == MOST_FIELDS and place < len(body))


def _varint(body: bytes, place: int) -> tuple[int, int]:
    """The number at ``place`` (up to ten bytes of seven bits, lowest first), and where it ends; past the end if it is none."""
    value = 0
    for count, byte in enumerate(body[place : place + 10]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, place + count + 1
    return 0, len(body) + 1
