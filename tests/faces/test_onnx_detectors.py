"""Detectors in ONNX files: recognized by their outputs, and right about where the face is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from purify.errors import InputError
from purify.faces.detectors import open_detector
from tests.detector_models import FIVE_POINTS, SIDE, write_detector
from tests.onnx_model import write_linear_onnx

FAMILIES = ("yunet", "scrfd", "retinaface")


def red_cells(*cells: tuple[int, int], side: int = SIDE, scale: int = 1) -> np.ndarray:
    """A black picture with red squares of 8 * scale pixels at cells (x, y)."""
    picture = np.zeros((side * scale, side * scale, 3), np.uint8)
    for x, y in cells:
        picture[8 * scale * y : 8 * scale * (y + 1), 8 * scale * x : 8 * scale * (x + 1), 0] = 255
    return picture


@pytest.mark.parametrize("family", FAMILIES)
def test_box_points_and_score_are_where_the_red_cell_is(tmp_path: Path, family: str) -> None:
    detector = open_detector(write_detector(tmp_path / "d.onnx", family), None)
    assert detector.name.lower().startswith(family)
    (face,) = detector(red_cells((5, 2)))
    assert face.score == pytest.approx(1, abs=0.01)
    assert face.box == pytest.approx((32, 8, 56, 32), abs=0.01)
    middle = np.array([44, 20])
    np.testing.assert_allclose(face.points, middle + FIVE_POINTS, atol=0.01)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_larger_picture_is_reduced_and_its_faces_scaled_back(tmp_path: Path, family: str) -> None:
    detector = open_detector(write_detector(tmp_path / "d.onnx", family), None)
    wide = red_cells((5, 2), scale=4)[:128]  # 256 x 128: padded below
    (face,) = detector(wide)
    assert face.box == pytest.approx((128, 32, 224, 128), abs=0.1)
    assert face.points[2] == pytest.approx([177.5, 81.5], abs=0.1)  # of pixel centers


@pytest.mark.parametrize("family", FAMILIES)
def test_other_colors_are_no_face_and_neighbors_two_or_one(tmp_path: Path, family: str) -> None:
    detector = open_detector(write_detector(tmp_path / "d.onnx", family), None)
    assert list(detector(red_cells((5, 2))[..., ::-1])) == []  # blue: the channels are in the right order
    assert len(detector(red_cells((1, 1), (6, 6)))) == 2
    assert len(detector(red_cells((3, 3), (4, 3)))) == 1  # boxes that overlap by half are one face


def test_min_score_is_that_of_a_face(tmp_path: Path) -> None:
    pale = (red_cells((5, 2)) * 0.6).astype(np.uint8)
    path = write_detector(tmp_path / "d.onnx", "scrfd")
    assert len(open_detector(path, 0.5)(pale)) == 1
    assert len(open_detector(path, 0.8)(pale)) == 0


def test_other_models_and_files_are_refused(tmp_path: Path) -> None:
    write_linear_onnx(tmp_path / "extractor.onnx", np.zeros((3 * 16 * 16, 8)), size=16)
    with pytest.raises(InputError, match="none of YuNet, SCRFD, RetinaFace; it finds no landmarks"):
        open_detector(tmp_path / "extractor.onnx", None)
    (tmp_path / "page.onnx").write_bytes(b"<html>")
    with pytest.raises(InputError, match="can't be read as an ONNX model"):
        open_detector(tmp_path / "page.onnx", None)
    with pytest.raises(InputError, match="not an ONNX file"):
        open_detector(tmp_path / "model.pth", None)


def test_an_input_beyond_all_measure_is_refused_before_it_is_made(tmp_path: Path) -> None:
    shape = [1, 3, 100_000, 100_000]  # 112 GiB
    inputs, outputs = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name in ("image", "same"))
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["same"])], "huge", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "huge.onnx")
    with pytest.raises(InputError, match="takes images of 100000 pixels; 1 to 4096 are expected"):
        open_detector(tmp_path / "huge.onnx", None)


def test_the_runtime_sends_no_telemetry_and_leaves_no_file(tmp_path: Path) -> None:
    path, temporary = write_detector(tmp_path / "d.onnx", "scrfd"), tmp_path / "temporary"
    temporary.mkdir()
    code = (
        "import sys; from pathlib import Path; from purify.faces.detectors import open_detector;"
        "open_detector(Path(sys.argv[1]), None)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=environment)
    assert list(temporary.iterdir()) == []
