"""The page's face images: JPEG thumbnails, decoded and cropped as in training, with a cache in memory."""

from __future__ import annotations

from functools import lru_cache

from purify.report.photos import photo_with_box
from purify.report.thumbnails import jpeg_bytes, read_face
from purify.review.samples import Samples
from purify.storage.image_bytes import ImageByteReader

#: Side in pixels of each size of image, at most.
SIDES = {"small": 128, "large": 448}
#: The whole photo with the face's box, instead of the face.
PHOTO, _PHOTO_SIDE = "photo", 640
_KEPT = 4096  # about 30 MB
_QUALITY = 88


class FaceImages:
    """JPEGs by row; thread safe."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._reader = ImageByteReader()
        self.jpeg = lru_cache(_KEPT)(self._jpeg)

    def close(self) -> None:
        """Close the archives."""
        self._reader.close()

    def _jpeg(self, row: int, size: str) -> bytes | None:
        """JPEG of a row in one of `SIDES`, or of its `PHOTO`; None if unavailable."""
        if size == PHOTO:
            photo = self._samples.photos.slice(row, 1).to_pylist()[0]
            shown = photo_with_box(self._reader, photo["photo_uri"], photo["box"], photo["points"], _PHOTO_SIDE)
            return None if shown is None else jpeg_bytes(shown, quality=_QUALITY)
        side = min(SIDES[size], int(self._samples.sides[row]) or SIDES[size])
        face = read_face(self._reader, side, self._samples.uris[row])
        return None if face is None else jpeg_bytes(face, quality=_QUALITY)
