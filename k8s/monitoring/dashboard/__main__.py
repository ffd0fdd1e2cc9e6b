"""``make dashboard``: writes ``k8s/monitoring/dashboard.json``."""

from __future__ import annotations

from pathlib import Path

from k8s.monitoring.dashboard.build import made

FILE = Path(__file__).resolve().parents[1] / "dashboard.json"

if __name__ == "__main__":
    FILE.write_text(made(), encoding="utf-8")
