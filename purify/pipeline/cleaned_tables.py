"""Verdicts and reviews in files -> the cleaned tables, and the training tables of baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError
from purify.pipeline.deduplication import Deduplicated, drop_near_duplicates
from purify.storage.files import read_table, write_table
from purify.storage.locations import Location
from purify.tables.apply import apply_verdicts
from purify.tables.manifest import ok_rows
from purify.tables.reviews import count_reviews, merge_reviews, read_reviews, update_reviews
from purify.tables.schema import CLEANED, REMOVED, VERDICTS


def adopt_reviews(given: Location, reviews: Path) -> None:
    """Merge the reviews in the file `given` into the file `reviews`, which needn't exist yet."""
    earlier = read_reviews(given)
    update_reviews(reviews, lambda present: merge_reviews(earlier, present))


def kept_rows(manifest: pa.Table, verdicts: Path, reviews: Path | None = None) -> pa.Table:
    """Rows kept by a verdicts file and the reviews, under their final labels (schema `CLEANED`)."""
    decided = None if reviews is None else read_reviews(reviews)
    return apply_verdicts(manifest, read_table(verdicts, VERDICTS), decided).cleaned


def apply_files(
    manifest: pa.Table, verdicts: Location, out: Path, *, reviews: Location | None = None, dedupe: bool = False
) -> Deduplicated | None:
    """Write ``cleaned``, ``removed`` and ``labels`` tables to the folder `out`.

    With `dedupe`, near duplicates are dropped, unless reviewed; the result tells which.
    """
    deduplicated = drop_near_duplicates(manifest, read_table(verdicts, VERDICTS)) if dedupe else None
    judged = read_table(verdicts, VERDICTS) if deduplicated is None else deduplicated.verdicts
    decided = None if reviews is None else read_reviews(reviews)
    purified = apply_verdicts(manifest, judged, decided)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("cleaned", "removed", "labels"):
        write_table(getattr(purified, name), out / f"{name}.parquet")
    return deduplicated


def baseline_table(manifest: pa.Table, name: str, *, kept: int, seed: int) -> pa.Table:
    """Training table of a baseline.

    ``raw``: all rows; ``random``: `kept` rows drawn at random; ``oracle``: the rows with a correct label.
    """
    rows = ok_rows(manifest)
    match name:
        case "raw":
            return rows
        case "random":
            chosen = np.random.default_rng([seed, 1]).choice(len(rows), size=min(kept, len(rows)), replace=False)
            return rows.take(pa.array(np.sort(chosen)))
        case "oracle":
            return rows.filter(pc.fill_null(pc.equal(rows["label"], rows["true_label"]), False))
    raise InputError(f"unknown baseline {name!r}; there are raw, random and oracle")


def has_truth(manifest: pa.Table) -> bool:
    """Whether the manifest has true labels."""
    return manifest["true_label"].null_count < len(manifest)


def run_counts(manifest: pa.Table, cleaned: Path, removed: Path, *, reviews: Location | None = None) -> dict[str, int]:
    """Numbers of rows of each kind, which add up; with reviews, also of reviewed samples and of ignored reviews."""
    rows = ok_rows(manifest)
    ok = len(rows)
    kept = read_table(cleaned, CLEANED, columns=["sample_id"]).num_rows
    gone = read_table(removed, REMOVED, columns=["sample_id"]).num_rows
    counts = {"rows": len(manifest), "ok": ok, "not_ok": len(manifest) - ok, "cleaned": kept, "removed": gone}
    if reviews is not None:
        counts |= count_reviews(read_reviews(reviews), rows["sample_id"])
    return counts
