"""MMOCR's networks: its tensors, strictly, and engines made of its checkpoints. The real MMOCR is asked in tests/parity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
import onnx  # noqa: E402

from engines.catalog import file_sha256, load_manifest  # noqa: E402
from engines.cli import app  # noqa: E402
from engines.errors import CheckpointError, EngineMissingError, ManifestError  # noqa: E402
from engines.models.crnn import CRNN  # noqa: E402
from engines.models.dbnet import DBNet  # noqa: E402
from engines.models.mmocr import import_checkpoint, load_checkpoint  # noqa: E402
from engines.runtime.onnx import OnnxRuntime  # noqa: E402
from tests.engines.torch.mmocr import checkpoint, crnn, dbnet  # noqa: E402

pytestmark = pytest.mark.torch
runner = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with both engines imported into it, by the command."""
    folder = tmp_path_factory.mktemp("mmocr")
    for kind, model in (("dbnet", dbnet()), ("crnn", crnn())):
        path = checkpoint(model, folder / f"{kind}.pth")
        words = ["import", "mmocr", "--kind", kind, "--checkpoint", str(path), "--directory", str(folder / "engines")]
        result = runner.invoke(app, words)
        assert result.exit_code == 0, result.output
        assert f"IQA_ENGINES__TEXT_{'DETECTION' if kind == 'dbnet' else 'RECOGNITION'}=mmocr-" in result.output
    return folder / "engines"


def test_tensors_are_mmocrs() -> None:
    """As many tensors and parameters as MMOCR 1.0.1's configurations build, under names of its modules."""
    states = {"dbnet": DBNet().state_dict(), "crnn": CRNN().state_dict()}
    assert {kind: len(state) for kind, state in states.items()} == {"dbnet": 158, "crnn": 49}
    names = {
        "dbnet": ["backbone.layer1.0.conv1.weight", "neck.lateral_convs.3.conv.weight", "det_head.binarize.6.bias"],
        "crnn": ["backbone.cnn.batchnorm2.running_var", "decoder.decoder.1.rnn.weight_hh_l0_reverse"],
    }
    assert all(name in states[kind] for kind in names for name in names[kind])
    assert sum(p.numel() for p in DBNet().parameters()) == 12_340_930
    assert sum(p.numel() for p in CRNN().parameters()) == 8_331_301


def test_checkpoints_load_whole(tmp_path: Path) -> None:
    """Every tensor, buffers too; the preprocessor's are MMOCR's own business."""
    source, target = dbnet(), DBNet()
    load_checkpoint(checkpoint(source, tmp_path / "a.pth"), target)
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())
    torch.save(source.state_dict(), tmp_path / "bare.pth")
    load_checkpoint(tmp_path / "bare.pth", DBNet())


def broken(tmp_path: Path, what: str) -> Path:
    path = tmp_path / f"{what}.pth"
    state = dict(dbnet().state_dict())
    if what == "nothing":
        path.write_bytes(b"PK no zip")
    elif what == "code":
        torch.save({"state_dict": state, "hook": Path}, path)
    elif what == "absent":
        pass
    else:
        key = "neck.lateral_convs.0.conv.weight"
        changes = {"less": {key: None}, "more": {"extra.weight": torch.ones(1)}, "other": {key: torch.ones(3, 3)}}
        state.update(changes[what])
        torch.save({"state_dict": {k: v for k, v in state.items() if v is not None}}, path)
    return path


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("absent", "does not exist"),
        ("nothing", "cannot be read safely|no checkpoint"),
        ("code", "read safely"),
        ("less", r"neck.lateral_convs.0.conv.weight is nothing, the network wants \(256, 64, 1, 1\)"),
        ("more", r"extra.weight is \(1,\), the network wants nothing"),
        ("other", r"neck.lateral_convs.0.conv.weight is \(3, 3\)"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, what: str, says: str) -> None:
    """With the first tensor that does not fit; a file that would run code is not run."""
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(broken(tmp_path, what), DBNet())


@torch.no_grad()
@pytest.mark.parametrize("width", [32, 64, 160, 608, 1024])
def test_exported_engines_answer_as_the_modules(engines: Path, width: int) -> None:
    """At widths that the export has not seen."""
    for kind, model, shape in (("dbnet-r18", dbnet(), (1, 3, 96, width)), ("crnn", crnn(), (1, 1, 32, width))):
        x = torch.randn(*shape, generator=torch.Generator().manual_seed(width))
        answer = OnnxRuntime().load(engines / f"mmocr-{kind}.onnx").run(x.numpy())
        assert np.abs(answer - model(x).numpy()).max() < 1e-4
        assert answer.shape == ((1, 1, 96, width) if kind == "dbnet-r18" else (1, width // 4 + 1, 37))


def test_manifests_say_where_engines_come_from(engines: Path) -> None:
    """The checkpoint's hash; a file that is not what was imported is refused."""
    manifest = load_manifest("mmocr-crnn", engines)
    assert file_sha256(engines.parent / "crnn.pth") in manifest.training_data
    assert manifest.golden[0].text
    onnx.checker.check_model(onnx.load(engines / manifest.file))
    with pytest.raises(ManifestError, match="no engine 'mmocr-crnn'"):
        load_manifest("mmocr-crnn", engines.parent)


def test_a_dictionary_of_ones_own(tmp_path: Path) -> None:
    """One character a line gives the classes; their number must be the checkpoint's."""
    (tmp_path / "zh.txt").write_text("招\n聘\n司\n", encoding="utf-8")
    path = checkpoint(crnn(4), tmp_path / "zh.pth")
    manifest = import_checkpoint("crnn", path, tmp_path / "zh.txt", "mmocr-zh", tmp_path / "engines")
    network = OnnxRuntime().load(tmp_path / "engines" / manifest.file)
    assert network.metadata["character"] == "招\n聘\n司"
    with pytest.raises(CheckpointError, match="decoder"):
        import_checkpoint("crnn", path, None, "mmocr-en", tmp_path / "engines")


@pytest.mark.parametrize(
    ("text", "says"), [("ab\nc\n", "one character a line"), ("a\na\n", "none twice"), ("", "one character")]
)
def test_wrong_dictionaries(tmp_path: Path, text: str, says: str) -> None:
    """Are named before anything is written."""
    (tmp_path / "d.txt").write_text(text)
    with pytest.raises(CheckpointError, match=says):
        import_checkpoint("crnn", tmp_path / "none.pth", tmp_path / "d.txt", None, tmp_path / "engines")
    assert not (tmp_path / "engines").exists()


def test_names_of_what_ships_are_taken(tmp_path: Path) -> None:
    """An imported engine must not pass for another."""
    with pytest.raises(ManifestError, match="another --name"):
        import_checkpoint("dbnet", tmp_path / "none.pth", None, "ppocrv6-small-det", tmp_path)


def test_a_changed_file_is_not_served(engines: Path, tmp_path: Path) -> None:
    """The manifest's hash decides."""
    for file in engines.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "mmocr-crnn.onnx").write_bytes(b"")
    result = runner.invoke(app, ["verify", "--directory", str(tmp_path), "--text-recognition", "mmocr-crnn"])
    assert isinstance(result.exception, EngineMissingError)
