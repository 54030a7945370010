"""Models under test: networks that embed a set's faces, and embeddings that were made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from purify.arrays import Vectors
from purify.config import PurifyConfig
from purify.embedding.embedding_files import EmbeddingFiles
from purify.embedding.extractors import open_extractor
from purify.embedding.id_lists import find_id_list, load_array
from purify.embedding.store import read_embeddings
from purify.errors import InputError
from purify.models.checkpoint import FILE_NAME
from purify.pipeline.protocol_faces import TestFaces, batches, cover
from purify.progress import Progress, silent

_NETWORKS = (".onnx", ".dat", ".pth", ".pt", ".safetensors")


@dataclass(frozen=True)
class Wanted:
    """How faces are embedded: with `masks` drawn over them, their mirror images added (`flip`), `lengths` kept."""

    masks: bool = False
    flip: bool = True
    lengths: bool = False


class TestedModel(Protocol):
    """A model that gives a vector for every face of a test set."""

    def vectors(self, faces: TestFaces, wanted: Wanted, progress: Progress = silent) -> Vectors:
        """Embeddings float32[N, D]."""


def open_model(path: Path, config: PurifyConfig) -> TestedModel:
    """A checkpoint's folder, an ONNX file, weights, or a file or folder of embeddings."""
    is_network = (path / FILE_NAME).is_file() or path.suffix.lower() in _NETWORKS
    return RememberedVectors(TestedNetwork(path, config)) if is_network else GivenEmbeddings(path, config)


def given_names(models: Iterable[TestedModel]) -> set[str]:
    """Names of images that all given embeddings have; empty if a network is among the models."""
    names: set[str] | None = None
    for model in models:
        ids = model.ids() if isinstance(model, GivenEmbeddings) else set()
        if ids is not None:
            names = ids if names is None else names & ids
    return names or set()


@dataclass(eq=False)
class RememberedVectors:
    """A model whose vectors of the last set of faces are kept: variants of a protocol embed the same faces."""

    model: TestedModel
    faces: TestFaces | None = None
    known: dict[Wanted, Vectors] = field(default_factory=dict)

    def vectors(self, faces: TestFaces, wanted: Wanted, progress: Progress = silent) -> Vectors:
        """See `TestedModel`."""
        if faces is not self.faces:
            self.faces, self.known = faces, {}
        if wanted not in self.known:
            self.known[wanted] = self.model.vectors(faces, wanted, progress)
        return self.known[wanted]


@dataclass(frozen=True)
class TestedNetwork:
    """A network; see `purify.embedding.extractors.open_extractor`."""

    path: Path
    config: PurifyConfig

    def vectors(self, faces: TestFaces, wanted: Wanted, progress: Progress = silent) -> Vectors:
        """See `TestedModel`."""
        extractor = open_extractor(
            self.path,
            self.config.extractor,
            precision=self.config.train.precision,
            flip=wanted.flip,
            lengths=wanted.lengths,
        )
        parts, done = [], 0
        for pixels in batches(faces, extractor.input_size, self.config.embed.batch_size):
            shown = cover(pixels, done, seed=self.config.seed) if wanted.masks else np.ascontiguousarray(pixels)
            parts.append(extractor(shown))
            done += len(pixels)
            progress(done, len(faces.names))
        return np.concatenate(parts)


@dataclass(frozen=True)
class GivenEmbeddings:
    """Embeddings by the names of the images, or a ``.npy`` in the order in which the protocol's files list them."""

    path: Path
    config: PurifyConfig

    def vectors(self, faces: TestFaces, wanted: Wanted, progress: Progress = silent) -> Vectors:
        """See `TestedModel`; mirror images are as in the file. InputError if masks are wanted."""
        if wanted.masks:
            raise InputError(f"{self.path}: masks can't be drawn on embeddings; give the model itself, and the images")
        if not self._has_ids():
            if not faces.in_file_order:
                raise InputError(f"{self.path}: an array of rows can't be matched with named pairs; give a list of ids")
            return self._in_order(len(faces.names))
        return read_embeddings(self._files(), faces.names)

    def ids(self) -> set[str] | None:
        """Names of the images; None for an array without a list of ids."""
        if not self._has_ids():
            return None
        return {name for part in self._files().parts() for name in part.ids.to_pylist() if name is not None}

    def _has_ids(self) -> bool:
        given = self.config.embeddings.ids is not None or self.path.suffix.lower() != ".npy"
        return given or find_id_list(self.path) is not None

    def _files(self) -> EmbeddingFiles:
        return EmbeddingFiles(self.path, self.config.embeddings)

    def _in_order(self, count: int) -> Vectors:
        matrix = load_array(self.path)
        if matrix.ndim != 2 or matrix.dtype.kind != "f" or len(matrix) != count:
            raise InputError(
                f"{self.path}: is {matrix.dtype} of shape {matrix.shape}; without a list of ids it must have a row of "
                f"floats for each of the {count} images, in the order of the protocol's files"
            )
        vectors = np.ascontiguousarray(matrix, np.float32)
        if not np.isfinite(vectors).all():
            raise InputError(f"{self.path}: has values that are not finite")
        return vectors
