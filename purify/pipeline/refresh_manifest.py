"""Source -> the manifest of a run, incrementally: only new and changed files are read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from purify.config import IngestConfig, PurifyConfig
from purify.embedding.embedding_files import EmbeddingFiles
from purify.errors import InputError
from purify.ingest.crop_check import UNCROPPED, uncropped_warning
from purify.ingest.ingest import ingest_again
from purify.ingest.inspection import inspection_settings, load_inspections, save_inspections
from purify.pipeline.embedded_rows import mark_unembedded
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
    run: RunFolder,
    source: Location,
    images: Sequence[Location],
    config: PurifyConfig,
    embeddings: EmbeddingFiles | None = None,
    *,
    progress: Progress = silent,
) -> bool:
    """Update the run's manifest from the source, and return whether it changed.

    Raises
    ------
    InputError
        If the source can't be used, has lost more of its images than ``grow.most_lost`` allows, or lacks more of the
        given `embeddings` than ``embeddings.most_missing``.
    """
    began = time.monotonic()
    settings = made_with(_STAGE, inspection_settings(config.ingest))
    known = load_inspections(run.readings, settings)
    ingested = ingest_again(source, images, config.ingest, known=known, progress=progress)
    manifest, unembedded = _embedded(ingested.manifest, config, embeddings)
    changed = _replace(run, source, manifest, config, began)
    lasting = ingested.inspections.lasting()
    if not lasting.equals(known):
        save_inspections(run.readings, lasting, settings)
    crops = _crop_warnings(run, ingested.manifest, config, changed=changed)
    run.update_info(source_warnings=[*ingested.warnings, *unembedded, *crops])
    return changed


def _embedded(
    manifest: pa.Table, config: PurifyConfig, embeddings: EmbeddingFiles | None
) -> tuple[pa.Table, list[str]]:
    """The manifest, its rows without one of the given `embeddings` marked, and a warning of these."""
    if embeddings is None or config.align.enabled:
        return manifest, []
    return mark_unembedded(manifest, embeddings, most_missing=config.embeddings.most_missing)


def _crop_warnings(run: RunFolder, manifest: pa.Table, config: PurifyConfig, *, changed: bool) -> list[str]:
    """A warning of photos that are taken for crops, if any; of an unchanged manifest, that of before."""
    if config.align.enabled:
        return []
    known = read_json(run.info).get("source_warnings") if run.info.exists() else None
    if known is not None and not changed:
        return [warning for warning in known if warning.startswith(UNCROPPED)]
    warning = uncropped_warning(lambda: [manifest])
    return [] if warning is None else [warning]


def take_table(run: RunFolder, table: Location, config: PurifyConfig, embeddings: EmbeddingFiles | None = None) -> bool:
    """Take a table as the manifest, without reading images, and return whether the manifest changed."""
    began = time.monotonic()
    manifest, unembedded = _embedded(load_manifest(table, config.ingest.columns), config, embeddings)
    changed = _replace(run, table, manifest, config, began)
    if unembedded or run.read_info().get("source_warnings"):
        run.update_info(source_warnings=unembedded)
    return changed


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
