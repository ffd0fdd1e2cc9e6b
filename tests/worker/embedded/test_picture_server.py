"""Named bytes over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from tests.patience import PATIENCE_S
from worker.embedded.picture_server import PictureServer


def test_served_by_name() -> None:
    """Odd names too; everything else is a 404."""
    with PictureServer({"a b.jpg": b"bytes"}) as server:
        assert urllib.request.urlopen(server.url("a b.jpg"), timeout=PATIENCE_S).read() == b"bytes"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(server.url("nothing"), timeout=PATIENCE_S)
