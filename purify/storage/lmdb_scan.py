"""A walk through an LMDB database in a process of its own: LMDB ends the process that reads a damaged database.

Run as ``python -m purify.storage.lmdb_scan DATABASE``; prints a line of JSON for each key.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from purify.errors import InputError
from purify.processes import end_with_parent
from purify.storage.lmdb_container import LmdbImages, label_of

#: Most bytes of a value that can be a text, such as a label.
_MOST_TEXT = 512
_CODE_OF_INPUT_ERRORS = 2


@dataclass(frozen=True)
class ScannedKey:
    """A key of a database, as text with surrogates for bytes that are no UTF-8.

    Attributes
    ----------
    key
        The key.
    label
        The label in its value.
    problem
        Why the value can't be read.
    text
        A short value as text.
    """

    key: str
    label: str | None
    problem: str | None
    text: str | None


def scan_database(path: Path) -> Iterator[ScannedKey]:
    """Yield all keys of the file of a database, in order; InputError if it can't be read or is damaged."""
    command = [sys.executable, "-m", "purify.storage.lmdb_scan", str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for line in process.stdout:
                if line.endswith("\n"):
                    yield ScannedKey(**json.loads(line))
        except BaseException:  # an interrupt, or no more keys are wanted
            process.kill()
            raise
        message = process.stderr.read().strip()
    if process.returncode == _CODE_OF_INPUT_ERRORS:
        raise InputError(message)
    if process.returncode:
        raise InputError(
            f"{path}: damaged LMDB database ({message.splitlines()[0] if message else 'no keys'}); get it anew"
        )


def _scan(path: Path) -> Iterator[ScannedKey]:
    database = LmdbImages(path)
    try:
        for key, value in database.items():
            label = problem = None
            try:
                label = label_of(value)
            except ValueError as error:
                problem = str(error)
            short = bytes(value) if len(value) <= _MOST_TEXT else None
            yield ScannedKey(_text(key), label, problem, _text(short) if short is not None else None)
    finally:
        database.close()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def main() -> int:
    """Print the keys of the database named on the command line; the exit code."""
    end_with_parent()
    try:
        for scanned in _scan(Path(sys.argv[1])):
            print(json.dumps(asdict(scanned)))
    except InputError as error:
        print(error, file=sys.stderr)
        return _CODE_OF_INPUT_ERRORS
    return 0


if __name__ == "__main__":
    sys.exit(main())
