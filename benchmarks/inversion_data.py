"""The people of the benchmark of inversion: those of the network, others, and their real faces."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.inversion_figures import Matrix, unit
from purify.embedding.dlib_extractor import DlibExtractor
from purify.errors import InputError
from purify.faces.packaged_models import packaged_model
from purify.images.decoding import decode_rgb

Pixels = np.ndarray
_BATCH = 32
#: Real faces of a person besides those that are inverted or shown.
_LEAST_OTHERS = 1


@dataclass(frozen=True)
class People:
    """Paths of the real faces of each person, and dlib's embeddings of all of them, centered and at unit length."""

    faces: Mapping[str, Sequence[str]]
    vectors: Mapping[str, Matrix]
    center: Matrix

    @classmethod
    def read(cls, embeddings: Path) -> People:
        """From a Parquet file ``path, embedding`` with paths ``.../PERSON/FILE``."""
        table = pq.read_table(embeddings, columns=["path", "embedding"])
        paths = table["path"].to_pylist()
        raw = np.stack(table["embedding"].to_numpy()).astype(np.float32)
        center = raw.mean(axis=0)
        faces: dict[str, list[str]] = {}
        for path in paths:
            faces.setdefault(path.split("/")[-2], []).append(path)
        return cls(faces, dict(zip(paths, unit(raw - center), strict=True)), center)

    def choose(self, names: Sequence[str], count: int, *, faces: int, seed: int) -> dict[str, list[str]]:
        """`count` of the people `names`, with `faces` of their images each, and others left for `reference`."""
        able = sorted(name for name in names if len(self.faces.get(name, ())) >= faces + _LEAST_OTHERS)
        if len(able) < count:
            raise InputError(
                f"{len(able)} people have {faces + _LEAST_OTHERS} faces, {count} are needed; ask for fewer"
            )
        rng = np.random.default_rng(seed)
        chosen = sorted(rng.permutation(len(able))[:count].tolist())
        return {
            able[i]: [
                self.faces[able[i]][k] for k in sorted(rng.permutation(len(self.faces[able[i]]))[:faces].tolist())
            ]
            for i in chosen
        }

    def reference(self, chosen: Mapping[str, Sequence[str]]) -> Matrix:
        """Mean embedding ``[P, D]`` of each person's other faces, at unit length."""
        rows = []
        for name, used in chosen.items():
            others = [self.vectors[path] for path in self.faces[name] if path not in set(used)]
            rows.append(np.mean(others, axis=0))
        return unit(np.stack(rows))


def read_crops(tars: Sequence[Path], paths: Sequence[str], size: int) -> Pixels:
    """``uint8[N, 3, size, size]`` of the images at `paths` in the tars."""
    found: dict[str, Pixels] = {}
    for tar in tars:
        with tarfile.open(tar) as archive:
            members = {member.name: member for member in archive if member.isfile()}
            for path in paths:
                if path in members and (file := archive.extractfile(members[path])) is not None:
                    found[path] = np.moveaxis(decode_rgb(file.read(), size), 2, 0)
    if missing := [path for path in paths if path not in found]:
        raise InputError(f"{missing[0]}: in none of {', '.join(map(str, tars))} ({len(missing)} such images)")
    return np.stack([found[path] for path in paths])


class ThirdParty:
    """dlib's face network, which knows nothing of the one that is inverted."""

    def __init__(self) -> None:
        self._extractor = DlibExtractor(packaged_model("dlib_face_recognition_resnet_model_v1.dat"))

    def __call__(self, pixels: Pixels) -> Matrix:
        """``uint8[N, 3, S, S]``, scaled to its size -> embeddings [N, 128]."""
        side = self._extractor.input_size
        scaled = [
            np.moveaxis(np.asarray(Image.fromarray(np.moveaxis(face, 0, 2)).resize((side, side), 2)), 2, 0)
            for face in pixels
        ]
        parts = [self._extractor(np.stack(scaled[i : i + _BATCH])) for i in range(0, len(scaled), _BATCH)]
        return np.concatenate(parts)
