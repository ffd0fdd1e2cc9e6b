"""What the benchmark measures with is right itself."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.benchmarks.machine import core_seconds, descendants, memory_mb
from tests.benchmarks.marking import marked
from tests.benchmarks.mix import make_mix
from tests.pictures import photo
from worker.intake.decode import decode


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_marks_change_bytes_and_no_pixel(name: str) -> None:
    """So that nothing is known from before, and everything costs what it costs."""
    buffer = io.BytesIO()
    photo(300, 200).save(buffer, name)
    plain = buffer.getvalue()
    seen = {marked(plain, number) for number in range(3)}
    assert len(seen | {plain}) == 4
    for data in seen:
        assert (decode(data, 1_000_000).pixels == decode(plain, 1_000_000).pixels).all()


def test_operations_are_counted(tmp_path: Path) -> None:
    """A convolution of 3 x 3 from 4 to 8 channels in two groups, and a product of matrices behind it."""
    pytest.importorskip("openvino", reason="shapes are worked out by it")
    from tests.benchmarks.operations import operations

    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, (8, 2, 3, 3), np.ones(144)),
        helper.make_tensor("m", TensorProto.FLOAT, (20, 5), np.ones(100)),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], group=2, pads=[1, 1, 1, 1]),
        helper.make_node("MatMul", ["y", "m"], ["z"]),
    ]
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, None, None])
        for name, channels in (("x", 4), ("z", 8))
    ]
    graph = helper.make_graph(nodes, "g", sides[:1], sides[1:], weights)
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert operations(path, (1, 4, 10, 20)) == 2 * (8 * 10 * 20 * 2 * 9) + 2 * (8 * 10 * 5 * 20)


def test_processes_are_read() -> None:
    """This process uses time and memory, and is its own first descendant."""
    assert descendants(os.getpid())[0] == os.getpid()
    before = core_seconds(os.getpid())
    while core_seconds(os.getpid()) <= before:
        sum(range(10_000))
    assert memory_mb(os.getpid()) > 10


def test_a_mix_has_all_it_promises(tmp_path: Path) -> None:
    """As many pictures as asked for, of the sizes of uploads; a second time they are the same files."""
    made = make_mix(tmp_path / "mix", 100)
    assert len(made) == 100
    assert {upload.path.suffix for upload in made} >= {".jpg", ".png"}
    assert all(480 <= max(upload.width, upload.height) <= 4000 for upload in made)
    assert make_mix(tmp_path / "mix", 100) == made
