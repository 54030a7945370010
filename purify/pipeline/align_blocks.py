"""Alignment of photos in blocks: each finds the faces of some photos and writes a shard of crops."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from purify.embedding.blocks import save_array
from purify.errors import InputError, PurifyError
from purify.faces.detectors import Detector, Face, open_detector
from purify.faces.face_choice import by_prominence, yaw_of
from purify.faces.face_search import find_faces
from purify.faces.similarity import crop_face
from purify.images.decoding import decode_upright
from purify.images.encoding import ENCODED_SUFFIX, encode_jpeg
from purify.progress import Progress, silent
from purify.storage.files import atomic_path
from purify.storage.image_bytes import ImageByteReader

#: Faces kept of a photo; those of a crowd beyond are counted.
MOST_FACES = 32
#: Result of a block: one record per face, and one with ``face`` -1 for a photo without any.
FACE_RECORD = np.dtype(
    [
        ("photo", "<i4"),
        ("face", "<i4"),
        ("faces", "<i4"),
        ("box", "<f4", 4),
        ("points", "<f4", 10),
        ("score", "<f4"),
        ("yaw", "<f4"),
        ("sha256", "S64"),
    ]
)


@dataclass(frozen=True)
class AlignBlock:
    """A block of photos to align."""

    #: ONNX file of a detector; None: dlib's.
    detector: str | None
    min_score: float | None
    #: Name of the detector, to notice another file or version on a worker.
    made_by: str
    #: Side of a crop in pixels.
    size: int
    uris: tuple[str, ...]
    #: SHA-256 of each photo's bytes.
    contents: tuple[str, ...]
    #: Index of the first photo among all.
    start: int
    #: The tar of the crops.
    shard: str
    #: The ``.npy`` file, records `FACE_RECORD`.
    out: str

    @property
    def name(self) -> str:
        """``align START-STOP``."""
        return f"align {self.start}-{self.start + self.rows}"

    @property
    def rows(self) -> int:
        """Number of photos."""
        return len(self.uris)

    def run(self, progress: Progress = silent) -> None:
        """Find and crop the faces of each photo; the records are written last, as the sign of completion."""
        records, crops = [], []
        with ImageByteReader() as reader, _in_use:
            detector = _detector(self.detector, self.min_score)
            if detector.name != self.made_by:
                raise InputError(f"this worker has {detector.name}, where the run uses {self.made_by}")
            for photo in range(self.rows):
                faces, pictures = _align(detector, self._pixels(reader, photo), self.size)
                records.append(faces)
                records[-1]["photo"] = photo
                crops += [(crop_name(self.contents[photo], face), data) for face, data in enumerate(pictures)]
                progress(photo + 1, self.rows)
        write_shard(Path(self.shard), crops)
        save_array(Path(self.out), np.concatenate(records))

    def _pixels(self, reader: ImageByteReader, photo: int) -> npt.NDArray[np.uint8]:
        uri = self.uris[photo]
        try:
            data = reader.read(uri)
            if hashlib.sha256(data).hexdigest() != self.contents[photo]:
                raise InputError("its bytes have changed")
            return decode_upright(data)
        except (OSError, PurifyError) as error:
            raise InputError(f"{uri}: readable at ingest, but not now ({error}); ingest the source again") from error

    def as_json(self) -> str:
        """The block as text for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The block written by `as_json`."""
        values: dict[str, Any] = json.loads(text)
        return cls(**{**values, "uris": tuple(values["uris"]), "contents": tuple(values["contents"])})


def crop_name(photo_sha256: str, face: int) -> str:
    """Name of a crop in its shard."""
    return f"{photo_sha256[:32]}-{face}{ENCODED_SUFFIX}"


#: A detector serves one thread at a time.
_in_use = threading.Lock()


@lru_cache(maxsize=1)
def _detector(file: str | None, min_score: float | None) -> Detector:
    return open_detector(None if file is None else Path(file), min_score)


def _align(detector: Detector, photo: npt.NDArray[np.uint8], size: int) -> tuple[npt.NDArray[Any], list[bytes]]:
    """Records of a photo's faces, the most prominent first, and their crops."""
    found = find_faces(detector, photo)
    faces = by_prominence(found, photo.shape[1], photo.shape[0])[:MOST_FACES]
    crops = [encode_jpeg(crop_face(photo, face.points, size)) for face in faces]
    if not faces:
        none = np.zeros(1, FACE_RECORD)
        none["face"] = -1
        return none, []
    return np.concatenate(
        [_record(number, face, len(found), crops[number]) for number, face in enumerate(faces)]
    ), crops


def _record(number: int, face: Face, faces: int, crop: bytes) -> npt.NDArray[Any]:
    digest = hashlib.sha256(crop).hexdigest().encode()
    points, yaw = face.points.ravel(), yaw_of(face.points)
    return np.array([(0, number, faces, face.box, points, face.score, yaw, digest)], FACE_RECORD)


def write_shard(path: Path, crops: Sequence[tuple[str, bytes]]) -> None:
    """Write crops with their names as an uncompressed tar; equal crops give equal bytes."""
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in crops:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
