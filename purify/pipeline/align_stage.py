"""The stage between ingest and training, for photos: a run's ``photos.parquet`` -> crops and ``manifest.parquet``."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pyarrow as pa

from purify.config import AlignConfig, PurifyConfig
from purify.embedding.blocks import RunBlocks
from purify.errors import InputError
from purify.pipeline.align_processes import run_in_processes
from purify.pipeline.alignment import FACES_FILE, align_photos
from purify.pipeline.face_manifest import Row, face_manifest
from purify.pipeline.fingerprint import mark_done
from purify.pipeline.update_log import begin_update
from purify.progress import Progress, silent
from purify.storage.files import read_table, write_table
from purify.storage.locations import Location
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import is_ok, load_manifest
from purify.tables.schema import FACE_CHOICES, MANIFEST

_STAGE = "align"
#: Choices by agreement, in the folder of the crops.
CHOICES_FILE = "choices.parquet"


def align_run(
    run: RunFolder, config: PurifyConfig, *, run_blocks: RunBlocks | None = None, progress: Progress = silent
) -> bool:
    """Bring the manifest of a run up to date with its photos, and return whether it changed."""
    began = time.monotonic()
    photos = read_table(run.photos, MANIFEST)
    run_blocks = run_blocks or _own_processes(config.align)
    faces = align_photos(photos, run.crops, config.align, run_blocks=run_blocks, progress=progress)
    manifest = face_manifest(photos, faces, run.crops, config.align, known_choices(run))
    _require_faces(manifest)
    if run.manifest.exists() and manifest.equals(read_table(run.manifest, MANIFEST)):
        return False
    begin_update(run)
    write_table(manifest, run.manifest)
    inputs = {"photos": run.photos, "config": config.align.model_dump(mode="json", exclude={"workers"})}
    seconds = round(time.monotonic() - began, 3)
    mark_done(run, _STAGE, inputs, [run.crops / FACES_FILE], seconds=seconds)
    return True


def align_table(manifest: Location, out: Path, config: AlignConfig, *, progress: Progress = silent) -> pa.Table:
    """Align the photos of a manifest into the folder `out`: its ``manifest.parquet``, ``photos.parquet``, ``crops``.

    A manifest that was aligned in `out` before stands for the photos it was made of.
    """
    run = RunFolder(out)
    photos = load_manifest(manifest)
    if photos["photo_uri"].null_count < len(photos):
        if manifest != run.manifest or not run.photos.exists():
            raise InputError(f"{manifest}: its rows are faces already, cropped from photos; give the photos' manifest")
        photos = read_table(run.photos, MANIFEST)
    faces = align_photos(photos, run.crops, config, run_blocks=_own_processes(config), progress=progress)
    aligned = face_manifest(photos, faces, run.crops, config)
    _require_faces(aligned)
    write_table(photos, run.photos)
    write_table(aligned, run.manifest)
    return aligned


def known_choices(run: RunFolder) -> dict[str, Row]:
    """The faces of a run that were chosen by agreement, by sample_id."""
    path = run.crops / CHOICES_FILE
    if not path.exists():
        return {}
    return {row["sample_id"]: row for row in read_table(path, FACE_CHOICES).to_pylist()}


def _own_processes(config: AlignConfig) -> RunBlocks:
    return partial(run_in_processes, workers=config.workers)


def _require_faces(manifest: pa.Table) -> None:
    if manifest.num_rows and not is_ok(manifest).to_numpy().any():
        first = manifest.slice(0, 1).to_pylist()[0]
        raise InputError(
            f"no usable face in any of the {len(manifest)} photos (the first: {first['sample_id']}: "
            f"{first['status_reason']}); if they are crops already, leave --align out"
        )
