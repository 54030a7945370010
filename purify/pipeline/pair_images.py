"""Images of verification pairs: crops as they are given, photos by the faces in them.

Models that learned from crops are compared on crops, by the same detector and template as those of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.config import PurifyConfig
from purify.errors import InputError
from purify.evaluation.faceless_pairs import exclude_faceless
from purify.faces.packaged_models import faces_installed
from purify.ingest.crop_check import why_uncropped
from purify.ingest.inspection import Inspections, inspect_blocks
from purify.pipeline.align_processes import run_in_processes
from purify.pipeline.alignment import align_photos
from purify.pipeline.crop_sample import LEAST_ALIGNED, aligned_in_sample
from purify.pipeline.face_manifest import face_manifest
from purify.progress import Progress, silent
from purify.storage.files import write_table
from purify.tables.manifest import is_ok
from purify.tables.pairs import Pairs, person_of
from purify.tables.schema import MANIFEST

#: Folder of the faces cropped from the pairs' photos, beside ``evaluation.json``, and the table of them in it.
PAIR_CROPS, MANIFEST_FILE = "pair-crops", "manifest.parquet"
_SAMPLE = 24
#: What the counts say of pairs of photos under ``images``; those of crops say nothing.
CROPPED = "faces cropped from photos"


class Images(Protocol):
    """Where images are found by their names."""

    def resolve(self, name: str) -> str | None:
        """Uri of the image; None if it is not there."""


@dataclass(frozen=True)
class PairImages:
    """The images that are compared: name -> uri; the names of photos without a face; what is said of them all."""

    uris: Mapping[str, str]
    faceless: frozenset[str] = frozenset()
    said: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, name: str) -> str | None:
        """See `Images`."""
        return self.uris.get(name)

    def usable(self, pairs: Pairs, counts: Mapping[str, Any]) -> tuple[Pairs, dict[str, Any]]:
        """The pairs with a face on either side, and their counts, with what is said of the images."""
        if self.said.get("images") == CROPPED:
            pairs, counts = exclude_faceless(pairs, counts, self.faceless)
        return pairs, {**counts, **self.said}


def pair_images(
    pairs: Pairs, roots: Images, manifest: pa.Table, config: PurifyConfig, crops: Path, *, progress: Progress = silent
) -> PairImages:
    """The images of `pairs` for models trained on `manifest`.

    Where the training images are faces cropped from photos, or ``align.enabled`` says so, the images of the pairs are
    aligned as well, in the folder `crops`, unless they are crops already: the largest and most central face counts.
    Other images are taken as they are; a sample that looks like photos gives a ``warning``.
    """
    uris = _uris(pairs, roots)
    sample = _inspected(_spread(uris), config)
    aligned = config.align.enabled or manifest["photo_uri"].null_count < len(manifest)
    if not aligned:
        why = why_uncropped(lambda: [sample])
        return PairImages(uris, said={"warning": _warning(why)} if why else {})
    if _are_crops(sample, config):
        return PairImages(uris)
    return _aligned(uris, config, crops, progress)


def _uris(pairs: Pairs, roots: Images) -> dict[str, str]:
    uris = {name: roots.resolve(name) for name in sorted({*pairs.a, *pairs.b})}
    found = {name: uri for name, uri in uris.items() if uri is not None}
    if missing := [name for name in uris if name not in found]:
        raise InputError(f"pairs: {len(missing)} images are in no image root, such as {missing[0]}")
    return found


def _spread(uris: Mapping[str, str]) -> dict[str, str]:
    """Some of the images, evenly spaced by name."""
    names = list(uris)
    return {names[i]: uris[names[i]] for i in np.unique(np.linspace(0, len(names) - 1, _SAMPLE).astype(int))}


def _inspected(uris: Mapping[str, str], config: PurifyConfig) -> pa.Table:
    """Rows (schema `MANIFEST`) of images by name."""
    places: Sequence[str] = list(uris.values())
    facts = Inspections.of(inspect_blocks(places, [None] * len(places), config.ingest)).rows
    named = {"sample_id": pa.array(list(uris)), "label": pa.array([person_of(name) or "" for name in uris])}
    columns = {**named, **{name: facts[name] for name in facts.column_names if name in MANIFEST.names}}
    empty = {f.name: pa.nulls(len(places), f.type) for f in MANIFEST if f.name not in columns}
    return pa.table([{**columns, **empty}[f.name] for f in MANIFEST], schema=MANIFEST)


def _warning(why: str) -> str:
    return (
        f"the images of the verification pairs look like photos, not like aligned crops of faces ({why}), so that "
        "backgrounds are compared as well; crop them (`purify evaluate ... --align` does), and measure again"
    )


def _are_crops(sample: pa.Table, config: PurifyConfig) -> bool:
    """Whether a sample of the pairs' images shows crops of the template."""
    rows = sample.filter(is_ok(sample))
    if not faces_installed():
        side = config.align.size
        return all(pc.all(pc.equal(rows[name], side)).as_py() for name in ("width", "height"))
    found, looked_at = aligned_in_sample(rows, config.seed)
    return found > 0 and found >= LEAST_ALIGNED * looked_at


def _aligned(uris: Mapping[str, str], config: PurifyConfig, crops: Path, progress: Progress) -> PairImages:
    photos = _inspected(uris, config)
    one_face = config.align.model_copy(update={"all_faces": False})
    run_blocks = partial(run_in_processes, workers=config.align.workers)
    faces = align_photos(photos, crops, one_face, run_blocks=run_blocks, progress=progress)
    manifest = face_manifest(photos, faces, crops, one_face)
    write_table(manifest, crops / MANIFEST_FILE)
    usable = is_ok(manifest)
    found = manifest.filter(usable)
    faceless = manifest.filter(pc.invert(usable))["sample_id"].to_pylist()
    places = dict(zip(found["sample_id"].to_pylist(), found["uri"].to_pylist(), strict=True))
    return PairImages(places, frozenset(faceless), {"images": CROPPED})
