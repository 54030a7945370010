"""Downloads that go on where they were interrupted, from several mirrors, checked by their SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from purify.errors import PurifyError
from purify.progress import Progress, silent
from purify.storage.files import sha256_file

_CHUNK = 1 << 20
_WRONG = "other bytes than the published file has (SHA-256)"
_TIMEOUT = httpx.Timeout(30.0, connect=15.0)


@dataclass(frozen=True)
class RemoteFile:
    """A public file: its `name`, where it is to be had, and the SHA-256 of its bytes."""

    name: str
    mirrors: Sequence[str]
    sha256: str


class DownloadError(PurifyError):
    """No mirror gave the file; finished parts are kept."""


def fetch(file: RemoteFile, folder: Path, *, progress: Progress = silent, timeout: httpx.Timeout = _TIMEOUT) -> Path:
    """Download a file into `folder`, unless it is there, and return its path.

    A part that an earlier call has left behind (``NAME.part``) is completed by a request for the rest (HTTP Range). A
    file is under its name only once its hash is right.

    Raises
    ------
    DownloadError
        If no mirror answers, or none with these bytes; the message tells what each said and how to go on offline.
    """
    path, part = folder / file.name, folder / f"{file.name}.part"
    if path.is_file() and sha256_file(path) == file.sha256:
        return path
    if path.exists():
        raise DownloadError(f"{path}: other bytes than the published file has; move it away, and start again")
    folder.mkdir(parents=True, exist_ok=True)
    said, resume = [], True
    with httpx.Client(follow_redirects=True, timeout=timeout) as client:
        for url in file.mirrors:
            problem = _try(client, url, part, file, progress, resume=resume)
            if problem is None:
                part.replace(path)
                return path
            said.append(f"{url}: {problem}")
            resume = problem != _WRONG
    raise DownloadError(_offline(file, path, said))


def _try(
    client: httpx.Client, url: str, part: Path, file: RemoteFile, progress: Progress, *, resume: bool
) -> str | None:
    """Complete `part` from one mirror; why not, if it fails."""
    there = part.stat().st_size if resume and part.exists() else 0
    for start in (there, 0) if there else (0,):  # a part of other bytes is begun anew
        try:
            _download(client, url, part, progress, file.name, start=start)
        except httpx.HTTPStatusError as error:
            return f"{error.response.status_code} {error.response.reason_phrase}"
        except httpx.TimeoutException:
            return "no answer in time"
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        if sha256_file(part) == file.sha256:
            return None
    return _WRONG


def _download(client: httpx.Client, url: str, part: Path, progress: Progress, name: str, *, start: int) -> None:
    """Write the bytes from `start` on to `part`; all of them from a server that can't begin in the middle."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with client.stream("GET", url, headers=headers) as response:
        if start and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is left to ask for; the hash decides
        response.raise_for_status()
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        done = start if goes_on else 0
        total = done + int(response.headers.get("Content-Length", 0))
        with part.open("ab" if goes_on else "wb") as out:
            for chunk in response.iter_bytes(_CHUNK):
                out.write(chunk)
                done += len(chunk)
                progress(done, max(total, done), name)


def _offline(file: RemoteFile, path: Path, said: Sequence[str]) -> str:
    return (
        f"{file.name} can't be had: {'; '.join(said)}. Without a connection: fetch {file.mirrors[0]} on another "
        f"machine (SHA-256 {file.sha256}), put it at {path}, and start again; a proxy is taken from HTTPS_PROXY"
    )
