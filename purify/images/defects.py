"""Defects of images: the closed list of codes that begin a manifest's ``status_reason``."""

from __future__ import annotations

import enum
import errno

from purify.errors import InputError


class Defect(enum.StrEnum):
    """First word of ``status_reason``."""

    ZERO_BYTES = "zero_bytes"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    UNSUPPORTED = "unsupported"
    DECOMPRESSION_BOMB = "decompression_bomb"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    NO_LABEL = "no_label"
    NO_FACE = "no_face"
    SMALL_FACE = "small_face"
    PROFILE = "profile"
    MISSING = "missing"
    NOT_A_FILE = "not_a_file"
    PERMISSION_DENIED = "permission_denied"
    READ_ERROR = "read_error"


class UnreadableImageError(InputError):
    """An undecodable image; the message begins with the code of its defect."""

    def __init__(self, defect: Defect, detail: str = "") -> None:
        super().__init__(f"{defect}: {detail}" if detail else str(defect))
        self.defect = defect


def describe_os_error(error: OSError) -> UnreadableImageError:
    """The defect of an image whose bytes could not be read."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return UnreadableImageError(Defect.PERMISSION_DENIED)
        case errno.ENOENT | errno.ENOTDIR:
            return UnreadableImageError(Defect.MISSING, "it was there when the source was listed, and is gone")
        case errno.EFBIG:
            return UnreadableImageError(Defect.TOO_LARGE, str(error.strerror))
        case _:
            return UnreadableImageError(Defect.READ_ERROR, error.strerror or str(error))
