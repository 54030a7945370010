"""Files on stores that fsspec supports (S3, Google Cloud Storage, ...): reads, listings, copies, clear errors.

Credentials come from the store's own environment and configuration (``AWS_*``, ``FSSPEC_*``), never from a URL,
and no message holds any.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from purify.errors import InputError, PurifyError
from purify.storage.hashes import sha256_text
from purify.storage.locations import Url, inner_path

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: Bytes per read in sequential reading.
_BLOCK = 4 << 20
#: Metadata entries that identify a version of a file, the best first; each store provides some of them.
_VERSION_KEYS = ("ETag", "etag", "generation", "md5Hash", "mtime", "LastModified", "last_modified", "created")
_CREDENTIALS = (
    "give credentials by the environment (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE) or "
    "fsspec's configuration, with the right to read, list and, for outputs, write"
)

_stores: dict[tuple[int, str, str], AbstractFileSystem] = {}
_stores_lock = Lock()


def cache_folder() -> Path:
    """Local folder for copies of remote files and for published runs: ``PURIFY_CACHE``.

    Default: ``purify`` in ``XDG_CACHE_HOME`` or ``~/.cache``. Its contents can be recreated.
    """
    if chosen := os.environ.get("PURIFY_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "purify"


def cache_path(kind: str, url: Url) -> Path:
    """Path in the cache for copies of `url`; it ends with the URL's own name."""
    return cache_folder() / kind / sha256_text(str(url))[:24] / url.name


@contextmanager
def explained(url: Url) -> Iterator[None]:
    """Turn errors of a store's client about `url` into actionable ones.

    InputError if it doesn't exist, access is denied, or credentials or the store's package are missing; PurifyError if
    the store can't be reached or fails.
    """
    try:
        yield
    except PurifyError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{url}: no such file, folder or bucket; check the URL") from error
    except PermissionError as error:
        raise InputError(f"{url}: access denied; {_CREDENTIALS}") from error
    except Exception as error:  # each store's client raises classes of its own
        if "Credential" in type(error).__name__:
            raise InputError(f"{url}: no usable credentials found; {_CREDENTIALS}") from error
        detail = " ".join(str(error).split()) or type(error).__name__
        raise PurifyError(f"{url}: the store doesn't answer as it should ({detail}); try again later") from error


def version(url: Url) -> str:
    """Version of a file: a text that changes with its content."""
    return _version(_info(url))


def is_folder(url: Url) -> bool:
    """Whether `url` is a folder and not a file; InputError if it doesn't exist."""
    return _info(url)["type"] == "directory"


def exists(url: Url) -> bool:
    """Whether a file or folder exists at `url`."""
    store, path = _open_store(url)
    with explained(url):
        store.invalidate_cache()
        try:
            store.info(path)
        except FileNotFoundError:
            return False
    return True


def list_files(url: Url) -> dict[str, str]:
    """Relative names of all files below a folder -> their versions; empty for a missing folder.

    InputError if a name has a part that is impossible in a path (empty, ``.`` or ``..``).
    """
    store, path = _open_store(url)
    with explained(url):
        store.invalidate_cache()
        found: Mapping[str, Mapping[str, Any]] = store.find(path, detail=True)
    prefix = f"{path.rstrip('/')}/"
    files = {name.removeprefix(prefix): info for name, info in found.items() if name.startswith(prefix)}
    # Consoles create an empty folder as a key that ends in a slash.
    return {_plain_name(url, name): _version(info) for name, info in files.items() if name and not name.endswith("/")}


def list_folder(url: Url) -> dict[str, str]:
    """Names of the files directly in a folder -> their versions."""
    store, path = _open_store(url)
    with explained(url):
        store.invalidate_cache()
        found: list[Mapping[str, Any]] = store.ls(path, detail=True)
    return {info["name"].rpartition("/")[2]: _version(info) for info in found if info["type"] == "file"}


def read_range(url: Url, offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset` on, fewer at the end of the file; thread safe.

    FileNotFoundError if the file is gone; all other errors are those of `explained`.
    """
    store, path = _open_store(url)
    with explained(url):
        try:
            return cast(bytes, store.cat_file(path, start=offset, end=offset + size))
        except FileNotFoundError:
            pass
        except OSError:
            if _info(url)["size"] > offset:
                raise
            return b""  # stores refuse ranges that begin at the end of the file
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(url))


@contextmanager
def reading(url: Url) -> Iterator[BinaryIO]:
    """Open a file for sequential reading; seeks are possible."""
    store, path = _open_store(url)
    with explained(url), store.open(path, "rb", block_size=_BLOCK, cache_type="readahead") as stream:
        yield cast(BinaryIO, stream)


def download(url: Url, path: Path) -> None:
    """Copy a file of the store to `path`."""
    store, name = _open_store(url)
    with explained(url):
        store.get_file(name, os.fspath(path))


def upload(path: Path, url: Url) -> str:
    """Copy a local file to the store, atomically, and return its version."""
    store, name = _open_store(url)
    with explained(url):
        store.put_file(os.fspath(path), name)
    return version(url)


def _open_store(url: Url) -> tuple[AbstractFileSystem, str]:
    """The file system of `url`, and the path in it.

    Asynchronous file systems are shared by all threads: otherwise every pool would create its clients anew. For
    the others, fsspec itself keeps one per thread.
    """
    import fsspec

    key = (os.getpid(), url.protocol, url.path.partition("/")[0])
    with _stores_lock:
        if (known := _stores.get(key)) is not None:
            return known, known._strip_protocol(str(url))
        try:
            store, path = fsspec.core.url_to_fs(str(url))
        except ImportError as error:
            raise InputError(f"{url}: {url.protocol}:// needs a package that is not installed: {error}") from error
        except ValueError as error:
            raise InputError(f"{url}: {url.protocol}:// is not a store known to fsspec ({error})") from error
        if store.async_impl:
            _stores[key] = store
        return store, path


def _info(url: Url) -> Mapping[str, Any]:
    store, path = _open_store(url)
    with explained(url):
        store.invalidate_cache()
        return cast(Mapping[str, Any], store.info(path))


def _version(info: Mapping[str, Any]) -> str:
    stamp = next((info[key] for key in _VERSION_KEYS if info.get(key)), "")
    # Some stores format times differently in listings and for single files.
    return f"{info.get('size')}-{stamp.timestamp() if isinstance(stamp, datetime) else stamp}"


def _plain_name(url: Url, name: str) -> str:
    try:
        plain = inner_path(name)
    except InputError as error:
        raise InputError(f"{url}: {error}; rename it") from error
    if plain != name:
        raise InputError(f"{url}: {name}: no path can have such a name; rename it")
    return name
