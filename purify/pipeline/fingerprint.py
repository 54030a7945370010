"""Records of finished stages: a fingerprint of the inputs, the version, and hashes of the outputs.

A stage is done if its record has the fingerprint of the present inputs and its outputs are unchanged, by hash; all
other stages run again. The version of a stage is a number raised by hand when its results change: rewording an error
must not retrain a finished model. ``tests/pipeline/test_stage_versions.py`` fails when results change and the number
does not. The revision of the code in ``run.json`` is mere provenance.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from purify.errors import InputError
from purify.storage.files import sha256_file, write_json
from purify.storage.integrity import entry_of
from purify.storage.locations import Location
from purify.storage.run_folder import RunFolder
from purify.storage.run_record import read_stage

#: Kind of stage (first word of its name) -> version of its results.
STAGE_VERSIONS = {
    "ingest": 3,
    "table": 1,
    "align": 1,
    "train": 1,
    "embed": 1,
    "analyze": 10,
    "compare": 1,
    "apply": 1,
    "evaluate": 3,
    "invert": 1,
    "protocols": 2,
    "update": 2,
}


def stage_version(stage: str) -> int:
    """Version of the results of `stage`, such as ``embed`` or ``train-round-2``."""
    return STAGE_VERSIONS[stage.partition("-")[0]]


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """SHA-256 of JSON values, as 64 hexadecimal digits; a Path or Url stands for the content of its file."""
    values = {
        key: f"sha256:{sha256_file(value)}" if isinstance(value, Location) else value for key, value in inputs.items()
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def made_with(stage: str, inputs: Mapping[str, Any]) -> str:
    """Fingerprint of `inputs` and of the version of `stage`, for files that outlive one run of the stage."""
    return fingerprint({**inputs, "version": stage_version(stage)})


def is_done(run: RunFolder, stage: str, inputs: Mapping[str, Any]) -> bool:
    """Whether `stage` has run on the same `inputs`, and its outputs are unchanged.

    Parameters
    ----------
    run
        Run whose folder ``stages`` holds the records.
    stage
        Name of the stage, such as ``embed`` or ``train-round-2``.
    inputs
        As for `fingerprint`.
    """
    return _is_recorded(run, stage, fingerprint(inputs))


def unreadable_records(run: RunFolder) -> dict[str, str]:
    """Records of stages that this version can't read, by name, with the reason."""
    found = {}
    for path in stage_records(run):
        try:
            read_stage(path)
        except InputError as error:
            found[path.relative_to(run.root).as_posix()] = str(error)
    return found


def unlike_record(run: RunFolder) -> list[str]:
    """Outputs of finished stages that differ from their record and have no hash of their own, by name.

    They are of an earlier version, which recorded no other hashes; a file with an entry is judged by that.
    """
    found: dict[str, bool] = {}
    for path in stage_records(run):
        try:
            outputs = read_stage(path)["outputs"]
        except InputError:  # damaged itself
            continue
        for name, digest in outputs.items():
            file = run.root / name
            entry = entry_of(file)
            if file.is_file() and (entry is None or not entry.exists()):
                found[name] = found.get(name, False) or sha256_file(file) == digest
    return [name for name, whole in found.items() if not whole]


def _is_recorded(run: RunFolder, stage: str, made_from: str) -> bool:
    path = _record(run, stage)
    if not path.exists():
        return False
    record = read_stage(path)
    same_work = record["inputs"] == made_from and record.get("version", 1) == stage_version(stage)
    return same_work and all(
        (run.root / name).is_file() and sha256_file(run.root / name) == digest
        for name, digest in record["outputs"].items()
    )


@contextmanager
def stage_of(run: RunFolder, stage: str, inputs: Mapping[str, Any], outputs: Sequence[Path]) -> Iterator[bool]:
    """Yield whether `stage` is to run; its record is written when the context ends without an error.

    The fingerprint is that of the inputs at the start: reviews may arrive while a stage runs.
    """
    made_from = fingerprint(inputs)
    if _is_recorded(run, stage, made_from):
        yield False
        return
    began = time.monotonic()
    yield True
    _write(run, stage, made_from, outputs, seconds=round(time.monotonic() - began, 3))


def mark_done(
    run: RunFolder, stage: str, inputs: Mapping[str, Any], outputs: Sequence[Path], *, seconds: float | None = None
) -> None:
    """Record a finished stage; without `seconds` it has no timing."""
    _write(run, stage, fingerprint(inputs), outputs, seconds=seconds)


def stage_records(run: RunFolder) -> list[Path]:
    """The records of finished stages."""
    return sorted((run.root / "stages").glob("*.json"))


def stage_seconds(run: RunFolder) -> dict[str, float]:
    """Seconds of each finished stage."""
    seconds = {path.stem: read_stage(path)["seconds"] for path in stage_records(run)}
    return {stage: took for stage, took in seconds.items() if took is not None}


def _write(run: RunFolder, stage: str, made_from: str, outputs: Sequence[Path], *, seconds: float | None) -> None:
    digests = {path.relative_to(run.root).as_posix(): sha256_file(path) for path in outputs}
    record = {"inputs": made_from, "version": stage_version(stage), "outputs": digests, "seconds": seconds}
    write_json(_record(run, stage), record)
    run.publish()


def _record(run: RunFolder, stage: str) -> Path:
    return run.root / "stages" / f"{stage}.json"
