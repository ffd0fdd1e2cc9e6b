"""One set of source folders for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sources import make_sources


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See ``make_sources``."""
    root = tmp_path_factory.mktemp("sources")
    make_sources(root)
    return root
