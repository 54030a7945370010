"""Small ONNX face detectors with known answers: a face wherever an 8-pixel cell of the input is red.

Input of 64 pixels. Box and points lie at fixed places around the cell; only the finest grid answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIDE = 64
_STRIDES = (8, 16, 32)
#: The five points relative to the middle of the cell, in pixels: eyes, nose tip, mouth corners.
FIVE_POINTS = np.array([[-4, -4], [4, -4], [0, 0], [-3, 4], [3, 4]], np.float32)


def write_detector(path: Path, family: str) -> Path:
    """Write a ``yunet``, ``scrfd`` or ``retinaface``."""
    builder = _Builder()
    {"yunet": _yunet, "scrfd": _scrfd, "retinaface": _retinaface}[family](builder)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(builder.model(), path)
    return path


def write_photo(path: Path, cells: Sequence[tuple[int, int]], *, scale: int = 4, seed: int = 0) -> Path:
    """A photo of ``64 * scale`` pixels with a red square at each cell (x, y), on dark noise."""
    picture = np.random.default_rng(seed).integers(0, 40, (SIDE * scale, SIDE * scale, 3)).astype(np.uint8)
    side = 8 * scale
    for x, y in cells:
        picture[side * y : side * (y + 1), side * x : side * (x + 1)] = (255, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


class _Builder:
    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.outputs: list[str] = []
        self._count = 0

    def constant(self, values: Any, kind: Any = np.float32) -> str:
        self._count += 1
        name = f"c{self._count}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        self._count += 1
        name = f"n{self._count}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def output(self, name: str) -> None:
        self.outputs.append(self.node("Identity", name))

    def redness(self, red: int, gray: float, *, scale: float) -> str:
        """[cells, 1]: 1 where a cell of the finest grid is red (channel `red` high, the others low), else 0."""
        weights = np.full((1, 3, 1, 1), -0.5, np.float32)
        weights[0, red] = 1
        shifted = self.node("Mul", self.node("Sub", "image", self.constant(gray)), self.constant(scale))
        map_ = self.node("Conv", shifted, self.constant(weights))
        pooled = self.node("AveragePool", map_, kernel_shape=[8, 8], strides=[8, 8])
        clipped = self.node("Clip", pooled, self.constant(0.0), self.constant(1.0))
        return self.node("Reshape", clipped, self.constant([-1, 1], np.int64))

    def model(self) -> Any:
        graph = helper.make_graph(
            self.nodes,
            "detector",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        return model


def _cells(stride: int) -> int:
    return (SIDE // stride) ** 2


def _yunet(b: _Builder) -> None:
    score = b.redness(2, 0.0, scale=1 / 255)
    for stride in _STRIDES:
        n = _cells(stride)
        b.output(b.node("Reshape", score, b.constant([1, -1, 1], np.int64)) if stride == 8 else _zeros(b, 1, n, 1))
    for stride in _STRIDES:
        b.output(b.constant(np.ones((1, _cells(stride), 1))))
    for stride in _STRIDES:  # the middle of the cell, three cells wide
        b.output(b.constant(np.tile([0.5, 0.5, np.log(3), np.log(3)], (1, _cells(stride), 1))))
    for stride in _STRIDES:
        b.output(b.constant(np.tile((FIVE_POINTS / 8 + 0.5).ravel(), (1, _cells(stride), 1))))


def _scrfd(b: _Builder) -> None:
    red = b.redness(0, -127.5 / 128, scale=128 / 255)
    for stride in _STRIDES:  # two anchors a cell, the second says nothing
        n = _cells(stride)
        both = b.node("Concat", red, b.constant(np.zeros((n, 1))), axis=1) if stride == 8 else ""
        b.output(b.node("Reshape", both, b.constant([-1, 1], np.int64)) if stride == 8 else _zeros(b, 2 * n, 1))
    for stride in _STRIDES:  # distances from the corner of the cell
        b.output(b.constant(np.tile([1.0, 1.0, 2.0, 2.0], (2 * _cells(stride), 1))))
    for stride in _STRIDES:
        b.output(b.constant(np.tile((FIVE_POINTS / 8 + 0.5).ravel(), (2 * _cells(stride), 1))))


def _retinaface(b: _Builder) -> None:
    weights = np.full((1, 3, 1, 1), -0.5, np.float32)
    means = b.constant(np.array([104, 117, 123], np.float32).reshape(1, 3, 1, 1))
    weights[0, 2] = 1
    map_ = b.node("Conv", b.node("Mul", b.node("Add", "image", means), b.constant(1 / 255)), b.constant(weights))
    pooled = b.node("AveragePool", map_, kernel_shape=[8, 8], strides=[8, 8])
    red = b.node("Reshape", b.node("Clip", pooled, b.constant(0.0), b.constant(1.0)), b.constant([-1, 1], np.int64))
    both = b.node("Concat", red, b.constant(np.zeros((_cells(8), 1))), axis=1)
    fine = b.node("Reshape", both, b.constant([-1, 1], np.int64))
    rest = b.constant(np.zeros((2 * (_cells(16) + _cells(32)), 1)))
    face = b.node("Concat", fine, rest, axis=0)
    none = b.node("Sub", b.constant(1.0), face)
    n = 2 * sum(_cells(stride) for stride in _STRIDES)
    b.output(
        b.constant(np.tile([0.0, 0.0, 5 * np.log(1.5), 5 * np.log(1.5)], (1, n, 1)))
    )  # 24 pixels for a prior of 16
    b.output(b.node("Reshape", b.node("Concat", none, face, axis=1), b.constant([1, -1, 2], np.int64)))
    b.output(b.constant(np.tile((FIVE_POINTS / 16 / 0.1).ravel(), (1, n, 1))))


def _zeros(b: _Builder, *shape: int) -> str:
    return b.constant(np.zeros(shape))
