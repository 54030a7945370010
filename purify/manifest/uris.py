"""Names of images: where their bytes lie (``uri``), and paths inside a root.

``file:///folder/image.jpg`` is a file; ``tar://label/image.jpg::file:///folder/set.tar`` is a member of an
uncompressed tar. Both parts are percent-encoded bytes, so every file name has a uri, UTF-8 or not, and ``::``
is never part of a member's name.
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from purify.errors import InputError

_FILE, _TAR, _SEPARATOR = "file://", "tar://", "::"


def file_uri(path: str | Path) -> str:
    """Uri of the file at an absolute path."""
    return _FILE + quote(os.fsencode(path))


def tar_uri(member: str, archive: str | Path) -> str:
    """Uri of a member of a tar."""
    return f"{_TAR}{quote(_encode(member))}{_SEPARATOR}{file_uri(archive)}"


def split_uri(uri: str) -> tuple[Path, str | None]:
    """Path of the file and, in a tar, the member's name.

    Raises
    ------
    InputError
        If `uri` has neither form.
    """
    member, separator, file = uri.rpartition(_SEPARATOR)
    in_tar = bool(separator) and member.startswith(_TAR)
    if not file.startswith(f"{_FILE}/") or bool(separator) != in_tar:
        raise InputError(f"{uri}: not a uri of an image; expected file:///PATH or tar://MEMBER::file:///ARCHIVE")
    path = Path(os.fsdecode(unquote_to_bytes(file.removeprefix(_FILE))))
    return path, _decode(unquote_to_bytes(member.removeprefix(_TAR))) if in_tar else None


def inner_path(path: str) -> str:
    """Normal form of a path inside a root (no ``.``, no doubled slash).

    Raises
    ------
    InputError
        If it is empty, absolute, has a ``..`` or a NUL character.
    """
    if not path.strip():
        raise InputError("the path is empty")
    if "\0" in path:
        raise InputError(f"{path!r}: a path can't hold a NUL character")
    if path.startswith("/") or ".." in path.split("/"):
        raise InputError(f"{path}: leaves the image root; give a path relative to the root, without '..'")
    return posixpath.normpath(path)


def is_hidden(path: str) -> bool:
    """Whether the operating system or an archiver put this file there for itself."""
    parts = path.split("/")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1] in _HIDDEN_BY_NAME


_HIDDEN_BY_NAME = frozenset({"Thumbs.db", "thumbs.db", "desktop.ini"})


def as_text(name: str) -> str:
    r"""A file name as valid Unicode: bytes that aren't UTF-8 become ``\xNN``."""
    return _encode(name).decode("utf-8", "backslashreplace")


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
