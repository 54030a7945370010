"""Source -> the manifest of a run, incrementally: only new and changed files are read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from purify.config import IngestConfig, PurifyConfig
from purify.errors import InputError
from purify.ingest.crop_check import UNCROPPED, uncropped_warning
from purify.ingest.ingest import ingest_again
from purify.ingest.inspection import inspection_settings, load_inspections, save_inspections
from purify.pipeline.fingerprint import is_done, made_with, mark_done
from purify.pipeline.update_log import begin_update
from purify.progress import Progress, silent
from purify.storage.files import read_json, read_table, write_table
from purify.storage.locations import Location
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import load_manifest
from purify.tables.manifest_diff import compare_manifests
from purify.tables.schema import MANIFEST, Status

_STAGE = "ingest"
#: Settings added since the first version.
_LATER = ("more", "same_labels", "format", "columns", "label_field")


def refresh_manifest(
    run: RunFolder, source: Location, images: Sequence[Location], config: PurifyConfig, *, progress: Progress = silent
) -> bool:
    """Update the run's manifest from the source, and return whether it changed.

    Raises
    ------
    InputError
        If the source can't be used, or has lost more of its images than ``grow.most_lost`` allows.
    """
    began = time.monotonic()
    settings = made_with(_STAGE, inspection_settings(config.ingest))
    known = load_inspections(run.readings, settings)
    ingested = ingest_again(source, images, config.ingest, known=known, progress=progress)
    changed = _replace(run, source, ingested.manifest, config, began)
    lasting = ingested.inspections.lasting()
    if not lasting.equals(known):
        save_inspections(run.readings, lasting, settings)
    run.update_info(
        source_warnings=[*ingested.warnings, *_crop_warnings(run, ingested.manifest, config, changed=changed)]
    )
    return changed


def _crop_warnings(run: RunFolder, manifest: pa.Table, config: PurifyConfig, *, changed: bool) -> list[str]:
    """A warning of photos that are taken for crops, if any; of an unchanged manifest, that of before."""
    if config.align.enabled:
        return []
    known = read_json(run.info).get("source_warnings") if run.info.exists() else None
    if known is not None and not changed:
        return [warning for warning in known if warning.startswith(UNCROPPED)]
    warning = uncropped_warning(manifest)
    return [] if warning is None else [warning]


def take_table(run: RunFolder, table: Location, config: PurifyConfig) -> bool:
    """Take a table as the manifest, without reading images, and return whether the manifest changed."""
    began = time.monotonic()
    return _replace(run, table, load_manifest(table, config.ingest.columns), config, began)


def ingested_table(run: RunFolder, config: PurifyConfig) -> Path:
    """What the source is read into: the manifest, or a table of photos that are yet to be aligned."""
    return run.photos if config.align.enabled else run.manifest


def _replace(run: RunFolder, source: Location, manifest: pa.Table, config: PurifyConfig, began: float) -> bool:
    table = ingested_table(run, config)
    inputs = {"source": str(source), "config": _settings(config.ingest)}
    if table.exists():
        before = read_table(table, MANIFEST)
        if manifest.equals(before) and is_done(run, _STAGE, inputs):
            return False
        _refuse_loss(source, compare_manifests(before, manifest).lost, _usable(before), config.grow.most_lost)
    else:  # its manifest is gone: the number of images is all that is known of it
        usable = (run.read_info().get("counts") or {}).get("ok", 0)
        _refuse_loss(source, max(0, usable - _usable(manifest)), usable, config.grow.most_lost)
    begin_update(run)
    write_table(manifest, table)
    mark_done(run, _STAGE, inputs, [table], seconds=round(time.monotonic() - began, 3))
    return True


def _settings(config: IngestConfig) -> dict[str, Any]:
    """Settings that affect the manifest; later ones count where they are given, so earlier records still hold."""
    later = {name for name in _LATER if getattr(config, name) == IngestConfig.model_fields[name].default}
    return config.model_dump(exclude={"workers", *later})


def _usable(manifest: pa.Table) -> int:
    return pc.sum(pc.equal(manifest["status"], Status.OK.value)).as_py() or 0


def _refuse_loss(source: Location, lost: int, usable: int, most_lost: float) -> None:
    if lost > most_lost * usable:
        raise InputError(
            f"{source}: {lost} of the {usable} usable images of this run are gone or unreadable now; nothing "
            "was changed. Is a disk not mounted? If they are meant to leave, allow it with "
            "--set grow.most_lost=1"
        )
