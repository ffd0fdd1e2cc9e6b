"""A real S3 server for tests: Versity's gateway over a folder, from ``make s3``."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.embedded.redis_server import free_port

__all__ = ["KEY_ID", "SECRET", "gateway", "s3_server"]

KEY_ID, SECRET = "test-key-id", "test-Secret-77b0"
START_S = 180.0


def gateway() -> str | None:
    """The program, if it is there."""
    built = Path(__file__).parents[2] / ".s3" / "versitygw"
    return str(built) if built.exists() else shutil.which("versitygw")


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Serves the folders below ``folder`` as buckets; gives the endpoint.

    Raises:
        RuntimeError: it does not start.

    """
    program, port = gateway(), free_port()
    if program is None:
        raise RuntimeError("no versitygw; run `make s3`")
    environment = {**os.environ, "ROOT_ACCESS_KEY": KEY_ID, "ROOT_SECRET_KEY": SECRET}
    # Attributes of files are not to be had on every file system; beside them they always are.
    (folder / "side").mkdir()
    command = [program, "--port", f"127.0.0.1:{port}", "posix", "--sidecar", str(folder / "side"), str(folder / "buckets")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    end, pause = time.monotonic() + START_S, threading.Event()
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError as error:
                if time.monotonic() > end or process.poll() is not None:
                    raise RuntimeError(f"versitygw does not start: {(folder / 'log').read_text()[-500:]}") from error
                pause.wait(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
