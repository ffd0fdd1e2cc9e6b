"""What a text is that came instead of a picture: a web page, an error of an object store or an API, a drawing as text."""

from __future__ import annotations

import re

__all__ = ["describe_text"]

_UNSUPPORTED, _NOT_AN_IMAGE = "unsupported_format", "not_an_image"
_SVG = re.compile(r"<(?:\w+:)?svg[\s>/]", re.IGNORECASE)
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body|title|script|div|meta|center|h1|p|br|table)\b", re.IGNORECASE)
_STORE_ERROR = re.compile(r"<Error>.*?<Code>([A-Za-z.]{1,40})</Code>", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
AGAIN = "upload the picture again, or check its link"
STORE_REMEDIES = {
    "AccessDenied": "the link gives no right to read it: whoever made the link must allow it",
    "ExpiredToken": "the link is no longer valid: send a new one",
    "NoSuchKey": f"there is no such file: {AGAIN}",
    "NoSuchBucket": "there is no such store: check the link",
}
AS_FILE = "send the bytes of the file, not their text"


def describe_text(head: bytes) -> tuple[str, str] | None:
    """A reason code and a detail for a file that begins with ``head``; ``None`` if that is no text."""
    text = _as_text(head)
    if text is None:
        return None
    start = text.lstrip("\ufeff \t\r\n\f\v")
    if not start:
        return _NOT_AN_IMAGE, "nothing but blanks: send the picture again"
    if start.startswith("<"):
        return _describe_markup(start)
    if start.startswith("data:"):
        return _NOT_AN_IMAGE, f"a data URL instead of a file: {AS_FILE}"
    if start.startswith("version https://git-lfs."):
        return _NOT_AN_IMAGE, "a pointer of Git LFS instead of the file: fetch the file itself and send that"
    if start.startswith(("HTTP/1.", "HTTP/2")):
        return _NOT_AN_IMAGE, "an answer of a web server with its head: send what follows the head alone"
    if start.startswith("--") and "content-disposition" in start.lower():
        return _NOT_AN_IMAGE, "a web form with a file in it: send the file alone"
    if start.startswith(("{", "[")):
        return _NOT_AN_IMAGE, f"a JSON text, often an error message, instead of a picture: {AGAIN}"
    if _BASE64.match(start):
        return _NOT_AN_IMAGE, f"a text in base64 instead of a file: {AS_FILE}"
    return _NOT_AN_IMAGE, f"a plain text instead of a picture: {AGAIN}"


def _describe_markup(start: str) -> tuple[str, str]:
    if error := _STORE_ERROR.search(start):
        remedy = STORE_REMEDIES.get(error[1], AGAIN)
        return _NOT_AN_IMAGE, f"an error of an object store ({error[1]}) instead of a picture: {remedy}"
    svg, html = _SVG.search(start), _HTML.search(start)
    if svg and (html is None or svg.start() < html.start()):
        return _UNSUPPORTED, "a drawing (SVG): export it as PNG and send that"
    if html:
        return _NOT_AN_IMAGE, f"a web page (HTML), often an error or a login, instead of a picture: {AGAIN}"
    return _NOT_AN_IMAGE, f"an XML text instead of a picture: {AGAIN}"


def _as_text(head: bytes) -> str | None:
    """``head`` as characters; ``None`` if it is no text in UTF-8 or, with a byte order mark, UTF-16."""
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        # The last character may be cut: what is left of it is no fault.
        text = head.decode("utf-16" if wide else "utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return None
        text = head[: error.start].decode("utf-16" if wide else "utf-8")
    return None if _CONTROL.search(text) else text
