"""A DNS server of ours that changes its mind, asked through the system's own resolver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.worker.intake.rebinding import PUBLIC, RESOLVER


def may_have_a_resolver() -> bool:
    """Whether this process may mount a ``resolv.conf`` of its own."""
    command = ["unshare", "--mount", "sh", "-c", "mount --bind /etc/hosts /etc/hosts"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_names_that_change_their_address_gain_nothing(tmp_path: Path) -> None:
    """What was checked is what is dialled: never the private address that the next lookup gives, nor the one beside it."""
    if not may_have_a_resolver():
        if os.environ.get("CI"):
            pytest.fail("a resolver of our own takes the right to mount, and in CI it must be there")
        pytest.skip("a resolver of our own takes the right to mount")
    (tmp_path / "resolv.conf").write_text(f"nameserver {RESOLVER}\noptions timeout:30 attempts:1\n")
    (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
    mounts = " && ".join(f"mount --bind {tmp_path}/{name} /etc/{name}" for name in ("resolv.conf", "nsswitch.conf"))
    command = ["unshare", "--mount", "sh", "-c", f"{mounts} && exec {sys.executable} -m tests.worker.intake.rebinding"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["told"] == {
        "rebinds.test": ["connect_failed", "address_refused"],
        "both.test": ["connect_failed", "connect_failed"],
        "private.test": ["address_refused", "address_refused"],
        "mapped.test": ["address_refused", "address_refused"],
    }
    assert set(found["dialled"]) == {PUBLIC}
    assert found["asked"]["rebinds.test"] == 2
