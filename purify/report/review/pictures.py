"""Pictures of the page: read and cut as training reads and cuts them, as small JPEGs, the last ones kept in memory."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image

from purify.errors import InputError
from purify.manifest.blobs import BlobReader
from purify.manifest.decode import decode_rgb
from purify.manifest.defects import UnreadableImageError
from purify.report.review.samples import Samples

#: Greatest side in pixels of the pictures, by the name of their size.
SIDES = {"small": 128, "large": 448}
_KEPT = 4096  # about 30 MB
_QUALITY = 88


class Pictures:
    """JPEGs by row; thread safe."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._reader = BlobReader()
        self.jpeg = lru_cache(_KEPT)(self._jpeg)

    def close(self) -> None:
        """Close the archives."""
        self._reader.close()

    def _jpeg(self, row: int, size: str) -> bytes | None:
        """JPEG of a row in one of `SIDES`; None where the image can't be had."""
        uri = self._samples.uris[row]
        if uri is None:
            return None
        side = min(SIDES[size], int(self._samples.sides[row]) or SIDES[size])
        try:
            pixels = decode_rgb(self._reader.read(uri), side)
        except (OSError, InputError, UnreadableImageError):
            return None
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
        return buffer.getvalue()
