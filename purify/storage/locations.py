"""Locations of files, uris of images, and paths inside a root.

``file:///folder/image.jpg`` is a local file, ``s3://bucket/image.jpg`` a file on a store that fsspec supports;
``tar://label/image.jpg::file:///folder/set.tar`` is the image with that key in a container, an uncompressed tar. The
kinds of containers are those of `purify.storage.containers`. The parts of a uri are percent-encoded bytes, so every
file name has a uri, UTF-8 or not, and ``::`` is never part of a key.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from purify.credentials import without_credentials
from purify.errors import InputError

_FILE, _TAR, _SEPARATOR = "file://", "tar", "::"
_URL = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]*)://(?P<path>.*)", re.DOTALL)
#: Keys that `quote` leaves as they are.
_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")
_LOCAL_PROTOCOLS = frozenset({"file", "local"})
#: No kind of container: a chained uri of a file, or of a file on a store, has no meaning.
_NO_CONTAINERS = frozenset({*_LOCAL_PROTOCOLS, "http", "https", "s3", "gs", "gcs", "az", "abfs", "memory"})


@dataclass(frozen=True)
class Url:
    """A file or folder on a store that fsspec supports, such as ``s3://bucket/folder``; not percent-encoded."""

    protocol: str
    path: str

    def __str__(self) -> str:
        return f"{self.protocol}://{self.path}"

    def __truediv__(self, name: str) -> Url:
        return Url(self.protocol, f"{self.path}/{name}")

    @property
    def name(self) -> str:
        """Last part of the path."""
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.path).stem

    @property
    def suffix(self) -> str:
        """Suffix of the name, with its dot."""
        return PurePosixPath(self.path).suffix

    @property
    def parent(self) -> Url:
        """The parent folder."""
        return Url(self.protocol, self.path.rpartition("/")[0])


#: Location of data, on this machine or on a store.
Location = Path | Url


def is_url(text: str) -> bool:
    """Whether `text` is the URL of a store and not a local path."""
    match = _URL.fullmatch(text)
    return match is not None and match["protocol"] not in _LOCAL_PROTOCOLS


def to_location(text: str) -> Location:
    """Parse a path or the URL of a store; ``file://`` is a local path.

    InputError if a URL has no path, is chained by ``::``, or may hold credentials, which must not enter tables or logs.
    """
    try:
        without_credentials(text)  # a text that is no URL of ours, such as S3://..., may hold some, too
    except ValueError as error:
        raise InputError(str(error)) from error
    match = _URL.fullmatch(text)
    if match is None:
        return Path(text)
    protocol, path = match["protocol"], match["path"].rstrip("/")
    if protocol in _LOCAL_PROTOCOLS:
        return Path(path or "/")
    if protocol in ("http", "https") and "?" in path:
        raise InputError(f"a {protocol}:// URL with a query, which often holds credentials; give one without")
    if not path.strip("/"):
        raise InputError(f"{text}: names no bucket or folder; expected {protocol}://BUCKET/PATH")
    if _SEPARATOR in path or protocol == _TAR:
        raise InputError(f"{text}: chained URLs are not supported; give the URL of a folder or file alone")
    return Url(protocol, path)


def absolute(place: Location) -> str:
    """`place` as an absolute path or URL, valid in any working folder."""
    return str(place.resolve() if isinstance(place, Path) else place)


def file_uri(place: str | Location) -> str:
    """Uri of the file at an absolute path or a URL."""
    if isinstance(place, Url):
        return f"{place.protocol}://{quote(_encode(place.path))}"
    return _FILE + quote(os.fsencode(place))


def tar_uri(member: str, archive: str | Location) -> str:
    """Uri of a member of a tar."""
    return container_uri(_TAR, member, archive)


def container_uri(kind: str, key: str, container: str | Location) -> str:
    """Uri of the image with a `key` in a container (a file or folder) of a `kind`, such as ``tar`` or ``rec``."""
    return f"{kind}://{_quoted(key)}{_SEPARATOR}{_container_uri(container)}"


@lru_cache(maxsize=4096)
def _container_uri(container: str | Location) -> str:
    return file_uri(container)


def _quoted(key: str) -> str:
    """Percent-encoded; most keys need none."""
    return key if _PLAIN.fullmatch(key) else quote(_encode(key))


class ImagePlace(NamedTuple):
    """The place of an image: a file, or the image with a `key` in the container of a `kind` at `place`."""

    place: Location
    kind: str | None = None
    key: str | None = None


def split_uri(uri: str) -> ImagePlace:
    """The place that a uri names; InputError if it has no known form."""
    inner, separator, file = uri.rpartition(_SEPARATOR)
    place = _container(file) if separator else _file(file)
    container = _URL.fullmatch(inner) if separator else None
    if place is None or (separator and (container is None or container["protocol"] in _NO_CONTAINERS)):
        raise InputError(
            f"{uri}: not a uri of an image; expected file:///PATH, a URL such as s3://BUCKET/PATH, "
            "or tar://MEMBER::file:///ARCHIVE"
        )
    if container is None:
        return ImagePlace(place)
    key = container["path"]
    return ImagePlace(place, container["protocol"], _decode(unquote_to_bytes(key)) if "%" in key else key)


def keys_in_one(uris: Sequence[str]) -> tuple[ImagePlace, list[str]] | None:
    """The place of the first of some uris, and the keys of all, if all are in one container; None if they aren't."""
    if _SEPARATOR not in uris[0]:
        return None
    first = split_uri(uris[0])
    start, end = f"{first.kind}://", uris[0][uris[0].rindex(_SEPARATOR) :]
    if not all(uri.startswith(start) and uri.endswith(end) for uri in uris):
        return None
    keys = [uri[len(start) : -len(end)] for uri in uris]  # none holds the separator, which is percent-encoded in keys
    return first, [_decode(unquote_to_bytes(key)) if "%" in key else key for key in keys]


def _file(uri: str) -> Location | None:
    match = _URL.fullmatch(uri)
    if match is None or not _is_file(match["protocol"], match["path"]):
        return None
    path = unquote_to_bytes(match["path"])
    return Path(os.fsdecode(path)) if match["protocol"] == "file" else Url(match["protocol"], _decode(path))


_container = lru_cache(maxsize=4096)(_file)  # many images share one


def _is_file(protocol: str, path: str) -> bool:
    return path.startswith("/") if protocol == "file" else bool(path) and protocol not in (_TAR, "local")


def inner_path(path: str) -> str:
    """Normal form of a path inside a root (no ``.``, no doubled slash).

    InputError if it is empty, absolute, has a ``..`` or a NUL character.
    """
    if not path.strip():
        raise InputError("the path is empty")
    if "\0" in path:
        raise InputError(f"{path!r}: a path can't hold a NUL character")
    if path.startswith("/") or ".." in path.split("/"):
        raise InputError(f"{path}: leaves the image root; give a path relative to the root, without '..'")
    return posixpath.normpath(path)


def as_text(name: str) -> str:
    r"""A file name as valid Unicode: bytes that aren't UTF-8 become ``\xNN``."""
    return name if name.isascii() else _encode(name).decode("utf-8", "backslashreplace")


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
