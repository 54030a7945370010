"""The judged samples of a run, as columns to look up by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.arrays import Ids
from purify.tables.apply import judged_rows
from purify.tables.schema import PHOTO_COLUMNS, Decision


@dataclass(frozen=True)
class Samples:
    """The N judged samples of a run. A row is a place among them, in the order of the `verdicts`.

    `photos` are the columns `PHOTO_COLUMNS` of the manifest, null where nothing was aligned. ``sides[N]`` are the
    shorter sides of the images in pixels (0: not known), `labels` the distinct given labels,
    sorted, and ``label_index[N]`` places in them. ``by_label[N]`` are the rows sorted by label, the most typical first:
    kept ones at the dominant sub-center before others, then by the angle to it; ``bounds[labels + 1]`` where each
    label starts in it.
    """

    verdicts: pa.Table
    ids: pa.Array
    uris: Sequence[str | None]
    photos: pa.Table
    sides: npt.NDArray[np.int32]
    labels: Sequence[str]
    label_index: Ids
    by_label: Ids
    bounds: Ids

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, label: int) -> Ids:
        """Rows given the label at this place, the most typical first."""
        return self.by_label[self.bounds[label] : self.bounds[label + 1]]

    def rows_named(self, sample_ids: Sequence[str]) -> Ids:
        """Rows of samples by name, without samples that were not judged."""
        return pc.index_in(pa.array(sample_ids, pa.string()), self.ids).drop_null().to_numpy().astype(np.int64)

    def verdict(self, row: int) -> Mapping[str, Any]:
        """The verdict on a row."""
        return dict(self.verdicts.slice(row, 1).to_pylist()[0])


def build_samples(manifest: pa.Table, verdicts: pa.Table) -> Samples:
    """Join a manifest (schema `MANIFEST`) and its verdicts (schema `VERDICTS`)."""
    verdicts = verdicts.combine_chunks()
    images = judged_rows(manifest, verdicts)
    given = verdicts["label"].combine_chunks()
    names = given.unique()
    names = names.take(pc.sort_indices(names))
    label_index = pc.index_in(given, names).to_numpy().astype(np.int64)
    sides = pc.min_element_wise(images["width"], images["height"])
    kept = column(pc.equal(verdicts["decision"], Decision.KEEP.value), False)
    aside = column(pc.not_equal(verdicts["subcenter"], verdicts["dominant"]), True)
    order = np.lexsort((column(verdicts["angle_dominant"], 180.0), aside, ~kept, label_index))
    return Samples(
        verdicts=verdicts,
        ids=verdicts["sample_id"].combine_chunks(),
        uris=images["uri"].to_pylist(),
        photos=images.select(PHOTO_COLUMNS),
        sides=column(sides, 0).astype(np.int32),
        labels=names.to_pylist(),
        label_index=label_index,
        by_label=order,
        bounds=np.searchsorted(label_index[order], np.arange(len(names) + 1)),
    )


def column(values: pa.ChunkedArray, missing: Any) -> npt.NDArray[Any]:
    """A column as an array; null and NaN become `missing`."""
    array = pc.fill_null(values, missing).to_numpy()
    return np.where(np.isnan(array), missing, array) if array.dtype.kind == "f" else array
