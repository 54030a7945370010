"""ONNX models as frozen extractors, run by ONNX Runtime (the extra ``onnx``)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from purify.arrays import Vectors
from purify.config import ExtractorConfig
from purify.embedding.backbone import Pending
from purify.errors import InputError
from purify.faces.onnx_session import open_session
from purify.images.loading import resolve_workers
from purify.models.precision import DEVICE_SWITCH, Precision

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


#: Entry of a model's metadata with its preprocessing: JSON of ``color``, ``mean`` and ``std``.
METADATA_KEY = "purify.preprocessing"
_CHANNELS = 3
#: Limits of the input, which a file declares as it likes: far more than face recognition uses.
_MOST_SIDE, _MOST_PIXELS = 1024, 1 << 25


class OnnxExtractor:
    """An ONNX file as an extractor: one image input [N, 3, S, S]; the first output, [N, D], is the embedding.

    `config` supplies the size and normalization of the input if the file lacks them; with `flip`, the embedding of the
    mirror image is added; with `lengths`, embeddings keep their lengths. InputError if ONNX Runtime is missing,
    or the file is not such a model.
    """

    def __init__(self, path: Path, config: ExtractorConfig, *, flip: bool = True, lengths: bool = False) -> None:
        self._path = path
        self._session = open_session(path, threads=resolve_workers(0), providers=_providers())
        self.input_size = _input_size(path, self._session, config)
        self._input = self._session.get_inputs()[0]
        config = _declared(path, self._session.get_modelmeta().custom_metadata_map, config)
        self._color, self._mean, self._std = config.color, np.float32(config.mean), np.float32(config.std)
        self._flip, self._lengths = flip, lengths
        self.precision: Precision = "auto"  # the file's own
        self.dim = self._run(np.zeros((1, _CHANNELS, self.input_size, self.input_size), np.float32)).shape[1]

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        """``pixels[N, 3, S, S]`` uint8 RGB -> unit embeddings float32[N, D]: normalized f(x) + f(mirror x)."""
        images = (pixels.astype(np.float32) - self._mean) / self._std
        if self._color == "BGR":
            images = images[:, ::-1]
        embeddings = self._run(images)
        if self._flip:
            embeddings = embeddings + self._run(images[..., ::-1])
        if self._lengths:
            return embeddings
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        return embeddings / np.maximum(norms, np.finfo(np.float32).tiny)

    def start(self, pixels: npt.NDArray[np.uint8]) -> Pending:
        """Embed a batch; ONNX Runtime returns when that is done."""
        embeddings = self(pixels)
        return lambda: embeddings

    def _run(self, images: npt.NDArray[np.float32]) -> Vectors:
        """Raw outputs [N, D]; for a model with a fixed batch size, the last batch is padded with zeros."""
        batch = self._input.shape[0] if isinstance(self._input.shape[0], int) else len(images)
        parts = []
        for start in range(0, len(images), batch):
            part = np.zeros((batch, *images.shape[1:]), np.float16 if "float16" in self._input.type else np.float32)
            some = images[start : start + batch]
            part[: len(some)] = some
            output = self._infer(part)
            if output.ndim != 2 or len(output) != batch:
                raise InputError(f"{self._path}: its first output is {list(output.shape)}; [N, D] is expected")
            parts.append(output[: len(some)].astype(np.float32))
        return np.concatenate(parts)

    def _infer(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        try:
            return np.asarray(self._session.run(None, {self._input.name: images})[0])
        except Exception as error:  # the runtime raises its own types
            raise InputError(
                f"{self._path}: can't be run on images {list(images.shape)} ({_first_line(error)})"
            ) from error


def _providers() -> list[str]:
    """Preferred ones; ONNX Runtime may have CUDA where PyTorch has not, so only the switch forbids it."""
    return ["CUDAExecutionProvider"] if os.environ.get(DEVICE_SWITCH, "auto") in ("auto", "cuda") else []


def _input_size(path: Path, session: InferenceSession, config: ExtractorConfig) -> int:
    """Side of the model's square input, or the configured one if any size fits."""
    entries = session.get_inputs()
    shape = entries[0].shape if len(entries) == 1 else []
    if len(shape) != 4 or shape[1] != _CHANNELS or "float" not in entries[0].type:
        given = ", ".join(f"{entry.type} {entry.shape}" for entry in entries)
        raise InputError(f"{path}: takes {given}; one input of floats [N, 3, S, S] is expected")
    sides = {side for side in shape[2:] if isinstance(side, int)}
    if config.input_size is not None:
        sides.add(config.input_size)
    if not sides:
        raise InputError(f"{path}: does not say how large its images are; set extractor.input_size")
    if len(sides) > 1:
        raise InputError(
            f"{path}: takes images of {shape[2:]} pixels, where {config.input_size or 'a square'} is wanted"
        )
    side, batch = sides.pop(), shape[0] if isinstance(shape[0], int) else 1
    if not 0 < side <= _MOST_SIDE or not 0 < batch * side**2 <= _MOST_PIXELS:
        raise InputError(
            f"{path}: takes {batch} images of {side}x{side} pixels at once; a side of 1 to {_MOST_SIDE} and at most "
            f"{_MOST_PIXELS} pixels are read; export it with a free batch size, or for smaller images"
        )
    return side


def _declared(path: Path, metadata: Mapping[str, str], config: ExtractorConfig) -> ExtractorConfig:
    """`config` with the file's own preprocessing."""
    if METADATA_KEY not in metadata:
        return config
    try:
        said = json.loads(metadata[METADATA_KEY])
        return ExtractorConfig.model_validate(
            config.model_dump() | {key: said[key] for key in ("color", "mean", "std")}
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its metadata {METADATA_KEY} can't be read ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
