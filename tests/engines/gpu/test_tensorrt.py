"""Builder and runtime through all their paths, on a double that ONNX Runtime answers for."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.build import BuildError, Precision
from engines.catalog import Manifest, load_manifest, shipped_weights
from engines.errors import EngineError
from engines.quality import QualityEngine
from engines.runtime.base import Network
from engines.runtime.cuda import OutOfMemoryError
from engines.runtime.onnx import OnnxRuntime
from engines.runtime.tensorrt import GpuOptions, TensorRtNetwork, TensorRtRuntime, gpu_modules
from engines.verify import golden_picture
from tests.engines.gpu import cuda_double, trt_double
from tests.engines.gpu.cuda_double import Gpu, GraphLibrary
from tests.engines.gpu.networks import manifest_of, small_network
from tests.patience import PATIENCE_S

Array = NDArray[np.float32]
MODULES = (trt_double, cuda_double, GraphLibrary())
SINGLE = GpuOptions(batch=4, lanes=2, graphs=2, precision="single")


@pytest.fixture
def gpu() -> Gpu:
    return Gpu()


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    return small_network(tmp_path / "small.onnx")


@pytest.fixture(autouse=True)
def _fresh_builder() -> None:
    trt_double.Builder.builds, trt_double.Builder.failing = 0, False


def runtime(folder: Path, options: GpuOptions = SINGLE) -> TensorRtRuntime:
    return TensorRtRuntime(folder / "plans", options, MODULES)


def load(onnx_file: Path, options: GpuOptions = SINGLE) -> Network:
    return runtime(onnx_file.parent, options).load(onnx_file, manifest_of(onnx_file))


def picture(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def expected(onnx_file: Path, batch: Array) -> Array:
    return OnnxRuntime().load(onnx_file).run(batch)


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (4, 3, 96, 128), (3, 3, 17, 100), (2, 3, 128, 128)])
def test_answers_are_onnx_runtimes(gpu: Gpu, onnx_file: Path, shape: tuple[int, ...]) -> None:
    """First come (queued), second (captured), third (launched): always the same."""
    network, batch = load(onnx_file), picture(*shape)
    for _ in range(4):
        assert network.run(batch) == pytest.approx(expected(onnx_file, batch), abs=1e-6)
    assert gpu.launches >= 2
    assert network.metadata == {"character": "a\nb"}


def test_a_larger_batch_is_split(gpu: Gpu, onnx_file: Path) -> None:
    """Eleven pictures where the plan takes four."""
    batch = picture(11, 3, 32, 48)
    assert load(onnx_file).run(batch) == pytest.approx(expected(onnx_file, batch), abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 8, 16), (1, 3, 16, 200), (1, 1, 32, 32), (3, 32, 32)])
def test_inputs_outside_the_plan_are_refused(gpu: Gpu, onnx_file: Path, shape: tuple[int, ...]) -> None:
    """With the shapes that it was built for."""
    with pytest.raises(EngineError, match=r"outside the plan's 1x3x16x16\.\."):
        load(onnx_file).run(picture(*shape))


class TestPlans:
    """Built once, used only where they were built."""

    def test_built_once(self, gpu: Gpu, onnx_file: Path) -> None:
        """The second start finds it; progress is told of the first."""
        told: list[tuple[str, int, int]] = []
        first = TensorRtRuntime(onnx_file.parent / "plans", SINGLE, MODULES, lambda *step: told.append(step))
        first.load(onnx_file, manifest_of(onnx_file))
        load(onnx_file)
        assert trt_double.Builder.builds == 1
        assert told[0] == ("Building engine", 0, 3)
        assert told[-1] == ("Building engine", 3, 3)

    @pytest.mark.parametrize("what", ["gpu", "version", "network", "precision", "batch"])
    def test_anything_else_is_another_plan(self, gpu: Gpu, onnx_file: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """GPU generation, version, file, precision, shapes: each asks for a build of its own."""
        load(onnx_file)
        options = SINGLE
        if what == "gpu":
            gpu.capability = [8, 6]
        elif what == "version":
            monkeypatch.setattr(trt_double, "__version__", "11.5.0")
        elif what == "network":
            small_network(onnx_file, seed=1)
        elif what == "precision":
            options = GpuOptions(4, 2, 2, "half")
        else:
            options = GpuOptions(2, 2, 2, "single")
        load(onnx_file, options)
        assert trt_double.Builder.builds == 2
        load(onnx_file, options)
        assert trt_double.Builder.builds == 2

    @pytest.mark.parametrize("what", ["plan", "description", "half a plan", "another's plan"])
    def test_damaged_plans_are_rebuilt(self, gpu: Gpu, onnx_file: Path, what: str) -> None:
        """Never loaded: a damaged plan may crash, or answer."""
        load(onnx_file)
        plans = onnx_file.parent / "plans"
        (plan,), (described,) = plans.glob("*.plan"), plans.glob("*.json")
        if what == "plan":
            plan.write_bytes(plan.read_bytes()[:-1] + b"?")
        elif what == "half a plan":
            plan.write_bytes(plan.read_bytes()[:100])
        elif what == "description":
            described.write_text(json.dumps(json.loads(described.read_text()) | {"tensorrt": "10.0"}))
        else:
            described.unlink()
        network, batch = load(onnx_file), picture(1, 3, 32, 32)
        assert trt_double.Builder.builds == 2
        assert network.run(batch) == pytest.approx(expected(onnx_file, batch), abs=1e-6)

    def test_a_plan_that_tensorrt_refuses_is_rebuilt(self, gpu: Gpu, onnx_file: Path) -> None:
        """Filed under the right key, refused all the same: once more, then an error."""
        built = runtime(onnx_file.parent)
        manifest = manifest_of(onnx_file)
        built._cache.store(built.key(onnx_file, manifest), b"a plan of a GPU that only looks like this one")
        built.load(onnx_file, manifest)
        assert trt_double.Builder.builds == 1


class TestBuilding:
    """What can go wrong is said in TensorRT's words."""

    def test_not_a_network(self, gpu: Gpu, onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The parser's reason."""
        monkeypatch.setattr("engines.runtime.tensorrt.network_bytes", lambda *_: b"no protobuf")
        with pytest.raises(BuildError, match="cannot parse the network: "):
            load(onnx_file)

    def test_the_builder_gives_up(self, gpu: Gpu, onnx_file: Path) -> None:
        """The last lines of its log; nothing is cached."""
        trt_double.Builder.failing = True
        with pytest.raises(BuildError, match="no tactic fits the workspace"):
            load(onnx_file)
        assert not list((onnx_file.parent / "plans").glob("*"))

    def test_without_a_manifest(self, gpu: Gpu, onnx_file: Path) -> None:
        """Nothing says which shapes to build for."""
        with pytest.raises(EngineError, match="needs the manifest"):
            runtime(onnx_file.parent).load(onnx_file)

    def test_without_the_packages(self) -> None:
        """One line, with the extra's name."""
        with pytest.raises(EngineError, match="gpu extra and NVIDIA's driver"):
            gpu_modules()


class TestMemory:
    """A full GPU costs speed, then an error; never an answer, never the worker."""

    def test_half_the_batch_may_fit(self, gpu: Gpu, onnx_file: Path) -> None:
        """Four pictures do not, two do."""
        network, batch = load(onnx_file), picture(4, 3, 64, 64)
        gpu.memory = sum(map(len, gpu.blocks.values())) + 2 * 4 * 4 * 64 * 64 + 100
        assert network.run(batch) == pytest.approx(expected(onnx_file, batch), abs=1e-6)

    def test_one_picture_that_does_not_fit(self, gpu: Gpu, onnx_file: Path) -> None:
        """Is an error that says so; when there is memory again, it is answered."""
        network, batch = load(onnx_file), picture(1, 3, 64, 64)
        gpu.memory = 0
        with pytest.raises(OutOfMemoryError, match="no memory left"):
            network.run(batch)
        gpu.memory = 1 << 30
        assert network.run(batch) == pytest.approx(expected(onnx_file, batch), abs=1e-6)

    def test_without_room_for_captured_shapes(self, gpu: Gpu, onnx_file: Path) -> None:
        """Contexts for the lanes and none more: launch by launch, as before."""
        gpu.contexts = 2
        network, batch = load(onnx_file), picture(1, 3, 64, 64)
        for _ in range(5):
            assert network.run(batch) == pytest.approx(expected(onnx_file, batch), abs=1e-6)
        assert gpu.launches == 0

    def test_without_room_for_the_lanes(self, gpu: Gpu, onnx_file: Path) -> None:
        """The start fails, and says why."""
        gpu.contexts = 1
        with pytest.raises(OutOfMemoryError, match="execution context"):
            load(onnx_file)

    def test_nothing_leaks(self, gpu: Gpu, onnx_file: Path) -> None:
        """Sixty shapes, each twice: as many buffers, graphs and bytes as two captured shapes and a lane keep."""
        network = load(onnx_file, GpuOptions(4, 1, 2, "single"))
        for side in [*range(16, 76), *range(16, 76)]:
            for _ in range(2):
                network.run(picture(1, 3, side, 128))
        assert len(gpu.blocks) == 2 * (1 + 2)
        assert len(gpu.graphs) == 2
        assert sum(map(len, gpu.blocks.values())) < 3 * 4 * 4 * 128 * 128


class TestGraphs:
    """Shapes that come back are launched in one call."""

    def test_the_least_used_shape_makes_room(self, gpu: Gpu, onnx_file: Path) -> None:
        """Two are kept; a third takes the place of the one used longest ago."""
        network = load(onnx_file, GpuOptions(4, 1, 2, "single"))
        shapes = [(1, 3, 32, side) for side in (32, 48, 64)]
        for shape in shapes:
            network.run(picture(*shape))
            network.run(picture(*shape))
        before = gpu.launches
        for shape in (shapes[1], shapes[2]):
            assert network.run(picture(*shape)) == pytest.approx(expected(onnx_file, picture(*shape)), abs=1e-6)
        assert gpu.launches == before + 2

    def test_a_network_that_cannot_be_captured(self, gpu: Gpu, onnx_file: Path) -> None:
        """Is run launch by launch."""
        gpu.uncapturable = True
        network, batch = load(onnx_file), picture(1, 3, 64, 64)
        for _ in range(4):
            assert network.run(batch) == pytest.approx(expected(onnx_file, batch), abs=1e-6)
        assert gpu.launches == 0

    def test_a_failing_run_is_an_error(self, gpu: Gpu, onnx_file: Path) -> None:
        """And the next one is none."""
        network, batch = load(onnx_file), picture(1, 3, 64, 64)
        gpu.failing = True
        with pytest.raises(EngineError, match="failed to run"):
            network.run(batch)
        gpu.failing = False
        assert network.run(batch) == pytest.approx(expected(onnx_file, batch), abs=1e-6)


def test_many_threads(gpu: Gpu, onnx_file: Path) -> None:
    """Contexts and buffers are never shared (the double would tell); everyone gets the answer to his own picture."""
    network = load(onnx_file)
    shapes = [(1, 3, 16 + 16 * (i % 4), 64) for i in range(200)]
    pictures = [np.random.default_rng(i).normal(size=shape).astype(np.float32) for i, shape in enumerate(shapes)]
    reference = OnnxRuntime().load(onnx_file)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(network.run, pictures))
    for answer, one in zip(answers, pictures, strict=True):
        assert answer == pytest.approx(reference.run(one), abs=1e-6)


def test_a_lane_is_given_back_after_an_error(gpu: Gpu, onnx_file: Path) -> None:
    """More errors than lanes: nobody waits for ever."""
    network, batch = load(onnx_file), picture(1, 3, 32, 32)
    gpu.failing = True
    for _ in range(5):
        with pytest.raises(EngineError):
            network.run(batch)
    gpu.failing = False
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(network.run, batch).result(PATIENCE_S)) == 1


@pytest.mark.parametrize("name", ["hyperiqa-lite0", "hyperiqa-r18"])
@pytest.mark.parametrize(("precision", "within"), [("single", 0.01), ("half", 1.0)])
def test_the_shipped_quality_engines(gpu: Gpu, tmp_path: Path, name: str, precision: Precision, within: float) -> None:
    """Golden pictures: the same to the second decimal in single precision, within the parity gate in half."""
    manifest: Manifest = load_manifest(name)
    options = GpuOptions(2, 1, 1, precision)
    network = runtime(tmp_path, options).load(shipped_weights() / manifest.file, manifest)
    engine = QualityEngine(manifest, network)
    for golden in manifest.golden:
        assert golden.score is not None
        assert engine.score(golden_picture(golden.picture)) == pytest.approx(golden.score, abs=within + golden.tolerance)


def test_the_runtimes_label_says_what_decides_digits(gpu: Gpu, tmp_path: Path) -> None:
    """Version, GPU generation, precision: all in the fingerprint."""
    assert runtime(tmp_path).label == f"tensorrt@{trt_double.__version__}-cc9.0-single"
    assert TensorRtNetwork.__doc__
