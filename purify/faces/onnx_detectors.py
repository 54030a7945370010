"""YuNet, SCRFD and RetinaFace in ONNX files, told apart by their outputs (the extra ``onnx``).

Each scores places on grids of several strides, with a box and five points for each. Only detectors with points fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from purify.errors import InputError
from purify.faces.detectors import FIVE, Face, Picture
from purify.faces.onnx_session import open_session
from purify.storage.files import one_line, sha256_file

_Array = npt.NDArray[np.float32]
#: Side of the input where the file takes any.
_ANY_SIDE = 640
#: Longest side of the input, which a file declares as it likes: pictures are searched on copies of 1,600 pixels.
_MOST_SIDE = 4096
#: Intersection over union above which the worse of two boxes is the same face.
_SAME_FACE = 0.4
_MIN_SCORE, _SURE = 0.5, 0.7
_STRIDES = (8, 16, 32, 64, 128)
_RETINA_SIZES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
_RETINA_VARIANCES = (0.1, 0.2)


@dataclass(frozen=True, eq=False)
class _Found:
    """Candidates in an input: ``scores[N]``, ``boxes[N, 4]`` (left, top, right, bottom), ``points[N, 5, 2]``."""

    scores: _Array
    boxes: _Array
    points: _Array


#: Outputs by the length of their last axis, finest grid first, and the side of the input -> candidates.
_Decoder = Callable[[Mapping[int, Sequence[_Array]], int], _Found]


@dataclass(frozen=True)
class _Family:
    """A family of detectors: the lengths of its outputs' last axes, its pixels, and how its outputs are read."""

    name: str
    #: Length of the last axis -> number of outputs per stride.
    outputs: Mapping[int, int]
    bgr: bool
    mean: tuple[float, float, float]
    std: float
    decode: _Decoder


def _grid(count: int, side: int, number: int) -> tuple[_Array, int, int]:
    """Cells x, y of the `number`-th finest of the grids with `count` places, its stride, and its anchors per cell."""
    for stride in _STRIDES[number:]:
        cells = -(-side // stride)
        if count % (cells * cells) == 0 and count // (cells * cells) in (1, 2):
            rows, columns = np.divmod(np.arange(cells * cells), cells)
            anchors = count // (cells * cells)
            return np.repeat(np.stack([columns, rows], 1), anchors, 0).astype(np.float32), stride, anchors
    raise ValueError(f"an output of {count} places fits no grid of an input of {side} pixels")


def _decode_yunet(outputs: Mapping[int, Sequence[_Array]], side: int) -> _Found:
    """Wu et al., "YuNet: a tiny millisecond-level face detector", 2023; as OpenCV's ``FaceDetectorYN`` reads it."""
    parts = []
    scores = [ones for ones in outputs[1]]  # those of class and object of a stride are alike
    for number, (boxes, points) in enumerate(zip(outputs[4], outputs[10], strict=True)):
        cells, stride, _ = _grid(len(boxes), side, number)
        both = np.clip(scores[2 * number] * scores[2 * number + 1], 0, 1)
        center, half = (cells + boxes[:, :2]) * stride, np.exp(boxes[:, 2:]) * stride / 2
        places = (points.reshape(-1, FIVE, 2) + cells[:, None]) * stride
        parts.append(_Found(np.sqrt(both[:, 0]), np.concatenate([center - half, center + half], 1), places))
    return _joined(parts)


def _decode_scrfd(outputs: Mapping[int, Sequence[_Array]], side: int) -> _Found:
    """Guo et al., "Sample and computation redistribution for efficient face detection", 2021; as InsightFace does."""
    parts = []
    for number, (scores, boxes, points) in enumerate(zip(outputs[1], outputs[4], outputs[10], strict=True)):
        cells, stride, _ = _grid(len(boxes), side, number)
        center = cells * stride
        edges = np.concatenate([center - boxes[:, :2] * stride, center + boxes[:, 2:] * stride], 1)
        parts.append(_Found(scores[:, 0], edges, center[:, None] + points.reshape(-1, FIVE, 2) * stride))
    return _joined(parts)


def _decode_retinaface(outputs: Mapping[int, Sequence[_Array]], side: int) -> _Found:
    """Deng et al., "RetinaFace", 2020, in the widespread PyTorch form: one output each of all strides."""
    priors = np.array(
        [
            ((x + 0.5) * stride, (y + 0.5) * stride, size, size)
            for stride, sizes in _RETINA_SIZES.items()
            for y, x in product(range(-(-side // stride)), repeat=2)
            for size in sizes
        ],
        np.float32,
    )
    boxes, conf, points = outputs[4][0], outputs[2][0], outputs[10][0]
    if len(boxes) != len(priors):
        raise ValueError(f"{len(boxes)} boxes, where {len(priors)} are expected of an input of {side} pixels")
    if abs(conf.sum(1) - 1).max() > 1e-3:  # exported without its last layer
        conf = np.exp(conf - conf.max(1, keepdims=True))
        conf = conf / conf.sum(1, keepdims=True)
    near, far = _RETINA_VARIANCES
    center, sizes = priors[:, :2], priors[:, 2:]
    middle, half = center + boxes[:, :2] * near * sizes, sizes * np.exp(boxes[:, 2:] * far) / 2
    places = center[:, None] + points.reshape(-1, FIVE, 2) * near * sizes[:, None]
    return _Found(conf[:, 1], np.concatenate([middle - half, middle + half], 1), places)


_FAMILIES = (
    _Family("YuNet", {1: 2, 4: 1, 10: 1}, bgr=True, mean=(0, 0, 0), std=1.0, decode=_decode_yunet),
    _Family("SCRFD", {1: 1, 4: 1, 10: 1}, bgr=False, mean=(127.5,) * 3, std=128.0, decode=_decode_scrfd),
    _Family("RetinaFace", {4: 1, 2: 1, 10: 1}, bgr=True, mean=(104, 117, 123), std=1.0, decode=_decode_retinaface),
)


class OnnxDetector:
    """A YuNet, SCRFD or RetinaFace model; pictures are reduced or enlarged to its input, and padded to a square.

    InputError if ONNX Runtime is missing, or the file is no such model.
    """

    def __init__(self, path: Path, min_score: float | None = None) -> None:
        self._path = path
        self._min_score = _MIN_SCORE if min_score is None else min_score
        self._session = open_session(path, threads=1)  # photos are aligned side by side, in processes
        self._input = self._session.get_inputs()[0]
        self._side = self._input_side()
        self._family = self._recognized(self._run(np.zeros((1, 3, self._side, self._side), np.float32)))
        self.name = f"{self._family.name} {sha256_file(path)[:16]} >= {self._min_score:g}"
        self.sure = _SURE
        self(np.zeros((8, 8, 3), np.uint8))  # outputs of other sizes are refused now

    def __call__(self, picture: Picture) -> Sequence[Face]:
        """See `Detector`."""
        scale = self._side / max(picture.shape[:2])
        found = self._decoded(self._run(self._prepared(picture, scale)))
        rows = np.flatnonzero(found.scores >= self._min_score)
        rows = rows[np.argsort(-found.scores[rows], kind="stable")]
        rows = rows[_distinct(found.boxes[rows])]
        # Points are those of pixel centers, which lie half a pixel from the corner before and after the scaling.
        points = (found.points[rows].astype(np.float64) + 0.5) / scale - 0.5
        boxes = found.boxes[rows].astype(np.float64) / scale
        scores = found.scores[rows].tolist()
        return [
            Face((box[0], box[1], box[2], box[3]), score, five)
            for box, score, five in zip(boxes.tolist(), scores, points, strict=True)
        ]

    def _prepared(self, picture: Picture, scale: float) -> _Array:
        family = self._family
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        resized = np.asarray(Image.fromarray(picture).resize((size[0], size[1]), Image.Resampling.BILINEAR))
        canvas = np.zeros((self._side, self._side, 3), np.float32)
        canvas[: size[1], : size[0]] = resized[..., ::-1] if family.bgr else resized
        pixels = (canvas - np.array(family.mean, np.float32)) / np.float32(family.std)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])

    def _decoded(self, outputs: Sequence[_Array]) -> _Found:
        by_length: dict[int, list[_Array]] = {}
        for output in sorted(outputs, key=len, reverse=True):  # the finest grid first
            by_length.setdefault(output.shape[1], []).append(output)
        try:
            return self._family.decode(by_length, self._side)
        except ValueError as error:
            raise InputError(f"{self._path}: looks like {self._family.name}, but {error}") from error

    def _run(self, pixels: _Array) -> list[_Array]:
        """The outputs, each [N, length], without the axis of the batch."""
        try:
            outputs = self._session.run(None, {self._input.name: pixels})
        except Exception as error:  # the runtime raises its own types
            raise InputError(f"{self._path}: can't be run on {list(pixels.shape)} ({one_line(error)})") from error
        return [np.asarray(one, np.float32).reshape(-1, one.shape[-1]) for one in outputs if np.ndim(one) > 1]

    def _recognized(self, outputs: Sequence[_Array]) -> _Family:
        counts: dict[int, int] = {}
        for output in outputs:
            counts[output.shape[1]] = counts.get(output.shape[1], 0) + 1
        for family in _FAMILIES:
            strides = counts.get(4, 0)
            if strides and counts == {length: number * strides for length, number in family.outputs.items()}:
                return family
        shapes = ", ".join(str(list(output.shape)) for output in outputs)
        hint = "" if 10 in counts else "; it finds no landmarks, which the alignment needs"
        names = ", ".join(family.name for family in _FAMILIES)
        raise InputError(f"{self._path}: its outputs {shapes} are those of none of {names}{hint}")

    def _input_side(self) -> int:
        shape = self._input.shape
        if len(self._session.get_inputs()) != 1 or len(shape) != 4 or shape[1] != 3:
            raise InputError(f"{self._path}: takes {shape}; one input of images [1, 3, S, S] is expected")
        sides = {side for side in shape[2:] if isinstance(side, int)}
        if len(sides) > 1:
            raise InputError(f"{self._path}: takes images of {shape[2:]} pixels; a square input is expected")
        side = sides.pop() if sides else _ANY_SIDE
        if not 0 < side <= _MOST_SIDE:
            raise InputError(f"{self._path}: takes images of {side} pixels; 1 to {_MOST_SIDE} are expected")
        return side


def _joined(parts: Sequence[_Found]) -> _Found:
    return _Found(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("scores", "boxes", "points")))


def _distinct(boxes: _Array) -> list[int]:
    """Rows of ``boxes[N, 4]``, best first, that don't overlap a better one too much."""
    kept: list[int] = []
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    for row, box in enumerate(boxes):
        sizes = np.minimum(boxes[kept, 2:], box[2:]) - np.maximum(boxes[kept, :2], box[:2])
        shared = np.prod(np.maximum(sizes, 0), axis=1)
        if not (shared > _SAME_FACE * (areas[kept] + areas[row] - shared)).any():
            kept.append(row)
    return kept
