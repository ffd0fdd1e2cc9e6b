"""What every runtime for CPUs promises, and how the quicker one is chosen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.catalog import Manifest, load_manifest, shipped_weights
from engines.engine_set import DEFAULT_DIRECTORY, EngineNames, load_engines
from engines.errors import EngineError
from engines.parity import compare_engines, gate_pictures
from engines.runtime.base import Runtime
from engines.runtime.contest import Chosen, Contest, hold_contest
from engines.runtime.fastest import FastestRuntime
from engines.runtime.onnx import OnnxRuntime
from engines.runtime.select import make_runtime
from engines.verify import verify_engines
from tests.engines.fakes import QUALITY
from tests.patience import PATIENCE_S

pytest.importorskip("openvino", reason="there is one for x86-64 alone")

RUNTIMES = ("onnx", "openvino", "auto")
FILE = shipped_weights() / QUALITY.file


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return make_runtime(request.param, DEFAULT_DIRECTORY, calls=2)


def test_golden_answers_on_every_runtime(runtime: Runtime) -> None:
    """Recorded on one, given by all."""
    results = verify_engines(load_engines(EngineNames(), DEFAULT_DIRECTORY, runtime))
    assert results
    assert [result for result in results if not result.passed] == []


def test_openvino_says_the_same() -> None:
    """Scores nearly so, also where a map is nearly even and its deviation is all rounding; text areas to the digit."""
    reference, candidate = (
        load_engines(EngineNames(), DEFAULT_DIRECTORY, make_runtime(name, DEFAULT_DIRECTORY)) for name in ("onnx", "openvino")
    )
    assert reference.digest != candidate.digest
    for result in compare_engines(reference, candidate, gate_pictures()):
        assert result.scores[1] == pytest.approx(result.scores[0], abs=0.03), result.picture
        assert result.areas[1] == pytest.approx(result.areas[0], abs=1e-3), result.picture


def test_any_size_from_many_threads(runtime: Runtime) -> None:
    """What is asked for at once is what each is given alone, whatever the size."""
    network = runtime.load(FILE, QUALITY)
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=(1, 3, 64 + 16 * n, 200 - 12 * n)).astype(np.float32) for n in range(8)]
    alone = [network.run(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for answer, expected in zip(pool.map(network.run, inputs * 3), alone * 3, strict=True):
            assert answer == pytest.approx(expected, abs=1e-3)


def test_answers_stay_what_they_were(runtime: Runtime) -> None:
    """An answer is the caller's own: the next call does not write over it."""
    network = runtime.load(FILE, QUALITY)
    first = network.run(np.zeros((1, 3, 96, 96), np.float32))
    kept = first.copy()
    network.run(np.ones((1, 3, 96, 96), np.float32))
    assert (first == kept).all()


def test_dictionaries_are_found(runtime: Runtime) -> None:
    """Characters of the recogniser stand in its file."""
    manifest = load_manifest("ppocrv6-small-rec")
    network = runtime.load(DEFAULT_DIRECTORY.expanduser() / manifest.file, manifest)
    assert len(network.metadata["character"].split("\n")) > 18_000


@pytest.mark.parametrize("name", RUNTIMES)
def test_what_cannot_be_loaded_or_run_is_named(name: str, tmp_path: Path) -> None:
    """The file, the shape, and no second line."""
    runtime = make_runtime(name, DEFAULT_DIRECTORY)  # type: ignore[arg-type]
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(EngineError, match="broken.onnx cannot be loaded by") as unreadable:
        runtime.load(path)
    with pytest.raises(EngineError, match=r"failed on an input of shape \(1, 4, 64, 64\)") as misshapen:
        runtime.load(FILE).run(np.zeros((1, 4, 64, 64), np.float32))
    assert "\n" not in f"{unreadable.value}{misshapen.value}"


SIZES = """
import numpy as np
from engines.catalog import shipped_weights
from engines.runtime.openvino import OpenVinoRuntime

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

network = OpenVinoRuntime().load(shipped_weights() / "{file}")
rng = np.random.default_rng(0)
def see(count):
    for _ in range(count):
        network.run(rng.normal(size=(1, 3, *rng.integers(64, 400, 2))).astype(np.float32))
see(60)
before = resident()
see(120)
print(resident() - before)
"""


def test_memory_does_not_grow_with_sizes() -> None:
    """A hundred sizes that were never seen leave nothing behind; without a bound they leave some 300 MB."""
    done = subprocess.run([sys.executable, "-c", SIZES.format(file=QUALITY.file)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 60


class _Network:
    """Takes time on a clock of its own."""

    def __init__(self, clock: _Clock, seconds: float, answer: float) -> None:
        self._clock, self._seconds, self._answer = clock, seconds, answer
        self.metadata: dict[str, str] = {}

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self._clock.now += self._seconds
        return np.array([self._answer], np.float32)


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class _Runtime:
    recorded = True

    def __init__(self, label: str, network: _Network) -> None:
        self.label, self.network = label, network

    def load(self, path: Path, manifest: Manifest | None = None) -> _Network:
        return self.network


def fastest(times: tuple[float, float], answers: tuple[float, float], say: Callable[[Chosen], object]) -> FastestRuntime:
    clock = _Clock()
    first, second = (
        _Runtime(name, _Network(clock, seconds, answer)) for name, seconds, answer in zip("ab", times, answers, strict=True)
    )
    return FastestRuntime(
        first, lambda: second, "b", lambda path, manifest: hold_contest(first, second, path, manifest, clock), say
    )


@pytest.mark.parametrize(("times", "winner"), [((4.0, 1.0), "b"), ((1.0, 4.0), "a"), ((1.0, 0.95), "a"), ((1.0, 0.89), "b")])
def test_the_quicker_one_serves(times: tuple[float, float], winner: str) -> None:
    """Where it is clearly quicker; and the label, which fingerprints are made of, is the same on every machine."""
    told: list[Chosen] = []
    chosen = fastest(times, (50.0, 50.01), told.append)
    network = chosen.load(FILE, QUALITY)
    assert network.run(np.zeros(1, np.float32))[0] == pytest.approx({"a": 50.0, "b": 50.01}[winner])
    assert told == [Chosen(QUALITY.label, winner, times[0] * 1000, times[1] * 1000)]
    assert chosen.recorded is (winner == "a")
    assert chosen.label == "a|b"


@pytest.mark.parametrize("answer", [50.1, float("nan")])
def test_one_that_answers_otherwise_judges_nothing(answer: float) -> None:
    """However quick it is; and it is told."""
    told: list[Chosen] = []
    network = fastest((4.0, 1.0), (50.0, answer), told.append).load(FILE, QUALITY)
    assert network.run(np.zeros(1, np.float32))[0] == 50.0
    assert [(chosen.runtime, chosen.agree) for chosen in told] == [("a", False)]


def test_contests_are_held_in_another_process() -> None:
    """One for all networks, which ends with whoever asked; what cannot be loaded is told, and the next one can."""
    contest = Contest("onnx@1")
    broken = contest(Path("/nowhere.onnx"), QUALITY)
    assert (broken.runtime, broken.engine) == (OnnxRuntime().label, QUALITY.label)
    assert "/nowhere.onnx" in broken.failed
    chosen = contest(FILE, QUALITY)
    assert chosen.runtime in {make_runtime("onnx", DEFAULT_DIRECTORY).label, make_runtime("openvino", DEFAULT_DIRECTORY).label}
    assert chosen.reference_ms > 0
    assert chosen.other_ms > 0
    assert chosen.agree
    assert not chosen.failed
    process = contest._process
    assert process is not None
    del contest
    assert process.poll() is not None


@pytest.mark.parametrize("odd", ["die", "hang", "warn", "stop", "other", "close"])
def test_where_nothing_can_be_measured_the_reference_serves(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library does on a processor that it does not know; every network is told of, and no process is left."""
    monkeypatch.setenv("ODD", odd)
    contest = Contest("onnx@1", "tests.engines.odd_contest", patience_s=1.0)
    for _ in range(2):
        chosen = contest(FILE, QUALITY)
        assert chosen.runtime == "onnx@1"
        assert chosen.failed
    process = contest._process
    assert process is not None
    assert process.wait(PATIENCE_S) is not None


def test_nothing_is_imported_from_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file called json.py may lie."""
    (tmp_path / "json.py").write_text("import os; os._exit(7)")
    monkeypatch.chdir(tmp_path)
    assert not Contest("onnx@1")(FILE, QUALITY).failed


ASKS = """
import sys
from engines.runtime.contest import Contest
contest = Contest("onnx@1")
print(contest._start().pid, flush=True)
sys.stdin.read()
"""


def test_a_contest_ends_with_who_asked(wait_until: Callable[..., Any]) -> None:
    """Also where that one is killed."""
    asked = subprocess.Popen([sys.executable, "-c", ASKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert asked.stdout is not None
    state = Path(f"/proc/{int(asked.stdout.readline())}/stat")
    asked.kill()
    asked.wait()
    wait_until(lambda: not state.exists() or state.read_text().split()[2] == "Z", what="the child's end")


def test_the_loser_is_never_loaded() -> None:
    """Its libraries would stay in memory for good."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [OnnxRuntime().label, "False"]


LOADED = """
import sys
from pathlib import Path
from engines.catalog import load_manifest, shipped_weights
from engines.runtime.contest import Chosen
from engines.runtime.select import make_runtime

manifest = load_manifest("hyperiqa-lite0")
told = []
runtime = make_runtime("auto", Path("nowhere"), say=told.append)
runtime._contest = lambda path, manifest: Chosen(manifest.label, runtime._reference.label)
runtime.load(shipped_weights() / manifest.file, manifest)
print(told[0].runtime, "openvino" in sys.modules)
"""


def test_the_label_is_openvinos_own() -> None:
    """It is told before OpenVINO is loaded, and fingerprints hold it."""
    names = (make_runtime("auto", DEFAULT_DIRECTORY).label, make_runtime("openvino", DEFAULT_DIRECTORY).label)
    assert names[0].partition("|")[2] == names[1]


def test_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another processor: ONNX Runtime serves, and whoever asks for OpenVINO is told."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert isinstance(make_runtime("auto", DEFAULT_DIRECTORY), OnnxRuntime)
    monkeypatch.setitem(sys.modules, "engines.runtime.openvino", None)
    with pytest.raises(EngineError, match="IQA_RUNTIME=openvino needs the package openvino"):
        make_runtime("openvino", DEFAULT_DIRECTORY)
