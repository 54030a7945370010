"""The contact sheet of an overlap: people found in two sets, each by their most similar images."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from purify.report.canvas import png_bytes
from purify.report.figures import contact_sheet
from purify.report.thumbnails import read_faces

_PAIRS = 32
_COLUMNS = 8


def overlap_sheet(manifest_a: pa.Table, manifest_b: pa.Table, people: pa.Table) -> tuple[bytes, int]:
    """PNG of up to 32 pairs of `people` (schema `SHARED_PEOPLE`), least sure first, and the number of lost images.

    A pair is two neighboring faces, that of A first.
    """
    rows = people.to_pylist()[::-1][:_PAIRS]
    names = [[row[f"evidence_{side}"][0] for row in rows] for side in "ab"]
    faces = [read_faces(table, ids) for table, ids in zip((manifest_a, manifest_b), names, strict=True)]
    pictures, captions, lost = [], [], 0
    for row, left, right in zip(rows, *faces, strict=True):
        lost += (left is None) + (right is None)
        if left is None and right is None:
            continue
        shown = (left if left is not None else right, right if right is not None else left)
        pictures += [np.full_like(shown[i], 255) if face is None else face for i, face in enumerate((left, right))]
        captions += [
            f"A {row['label_a']}\n{_images(row['n_a'])}",
            f"B {row['label_b']}\n{_images(row['n_b'])}, score {row['score']:.2f}",
        ]
    title = f"People in both sets ({len(pictures) // 2} of {len(people):,} pairs, least sure first)"
    return png_bytes(contact_sheet(pictures, captions, columns=_COLUMNS, title=title)), lost


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"
