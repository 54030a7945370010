"""The overlap of two sets by face: who and which pictures are in both, recorded in files, and dropped on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from purify.analysis.identities.shared_people import SharedPeople, find_shared_people
from purify.analysis.identities.shared_pictures import SharedPictures, find_shared_pictures
from purify.config import PurifyConfig
from purify.pipeline.overlap_sides import GivenSet, OverlapSide, load_sides
from purify.pipeline.pixel_pairs import PlacedImage, compare_pixels
from purify.progress import QUIET, ProgressBoard
from purify.report.overlap_sheet import overlap_sheet
from purify.report.shown_images import with_images
from purify.storage.files import write_bytes, write_json, write_table
from purify.storage.locations import Location
from purify.tables.overlap_tables import Shared, drop_shared, table_of
from purify.tables.schema import SHARED_PEOPLE, SHARED_PICTURES

#: Rank of the strangers' tail below which the threshold rests on few pairs.
_FEW_PAIRS = 30
#: Share of images that look the same as one of another label, beyond which the threshold for pictures is doubtful.
_MOST_ALIKE = 0.01


@dataclass(frozen=True)
class OverlapSettings:
    """Settings of an overlap.

    `false_share` is the tolerated share of false people among those found, and of false faces; `same_picture` the
    least cosine of two copies of a picture; `drop_from` the set (``a`` or ``b``) that loses what is shared.
    """

    false_share: float = 0.01
    same_picture: float = 0.98
    drop_from: str | None = None


@dataclass(frozen=True)
class OverlapAnswer:
    """Figures of an overlap as in ``overlap.json``, and warnings as sentences without a full stop."""

    figures: dict[str, Any]
    warnings: tuple[str, ...]


def compare_sets(
    a: GivenSet,
    b: GivenSet,
    out: Path,
    settings: OverlapSettings,
    *,
    config: PurifyConfig,
    model: Path | None = None,
    sheet: Path | None = None,
    images: Sequence[Location] = (),
    board: ProgressBoard = QUIET,
) -> OverlapAnswer:
    """Find what the sets A and B share.

    The folder `out` gets ``people.parquet``, ``pictures.parquet`` and ``overlap.json``; with ``drop_from`` also
    ``kept.parquet`` and ``dropped.parquet`` of that set. Faces of the people go to the picture `sheet`, the least sure
    first; `images` are roots in which images without an address are looked up. InputError if a set can't be used.
    """
    out.mkdir(parents=True, exist_ok=True)
    sides = load_sides((a, b), model=model, out=out, config=config, progress=board.stage("embed"))
    progress = board.stage("overlap")
    progress(0, 2, "people")
    people = find_shared_people(sides[0].vectors, sides[1].vectors, false_share=settings.false_share)
    progress(1, 2, "pictures")
    checked = _confirmed(_find_pictures(sides, settings), sides, images)
    pictures = checked.pictures
    progress(2, 2)
    shared = _tables(sides, people, pictures)
    write_table(shared.people, out / "people.parquet")
    write_table(shared.pictures, out / "pictures.parquet")
    figures = _figures(sides, people, pictures, settings)
    figures["pictures"] |= {"refuted_by_pixels": checked.refuted, "unchecked": checked.unchecked}
    if settings.drop_from is not None:
        figures["dropped"] = _drop(sides["ab".index(settings.drop_from)], shared, out)
    write_json(out / "overlap.json", figures)
    warnings = _warnings(people, pictures, sides)
    if checked.unchecked:
        warnings.append(
            f"{checked.unchecked} pairs of pictures are the same by their embeddings alone: an image of the pair can't "
            "be read; give their folder or tar with --images"
        )
    if sheet is not None:
        warnings += _write_sheet(sheet, sides, shared, images)
    return OverlapAnswer(figures, tuple(warnings))


def _find_pictures(sides: tuple[OverlapSide, OverlapSide], settings: OverlapSettings) -> SharedPictures:
    a, b = (side.vectors for side in sides)
    labels = (a.label_index, b.label_index)
    return find_shared_pictures(
        a.embeddings,
        b.embeddings,
        labels,
        same_picture=settings.same_picture,
        false_share=settings.false_share,
    )


@dataclass(frozen=True)
class _Checked:
    """Pictures whose pixels were compared, and the numbers of pairs refuted by them, and of those not compared."""

    pictures: SharedPictures
    refuted: int
    unchecked: int


def _confirmed(
    pictures: SharedPictures, sides: tuple[OverlapSide, OverlapSide], images: Sequence[Location]
) -> _Checked:
    """Pairs of one picture by their embeddings, of which other pixels make two pictures of one person.

    Such a pair stays as that if it is the nearest of its image in B.
    """
    same = np.flatnonzero(pictures.same_picture)
    columns: list[list[PlacedImage]] = []
    for side, rows in zip(sides, (pictures.a, pictures.b), strict=True):
        wanted = side.rows.take(pa.array(rows[same]))
        wanted = with_images(wanted, images) if images else wanted
        columns.append(list(zip(wanted["uri"].to_pylist(), wanted["sha256"].to_pylist(), strict=True)))
    found = compare_pixels(list(zip(*columns, strict=True)))
    refuted = same[np.array([answer is False for answer in found], np.bool_)]
    is_same = pictures.same_picture.copy()
    is_same[refuted] = False
    first = np.append(True, pictures.b[1:] != pictures.b[:-1])[: len(pictures.b)]
    left = is_same | (first & (pictures.cosine >= (1 if pictures.threshold is None else pictures.threshold)))
    kept = replace(
        pictures, a=pictures.a[left], b=pictures.b[left], cosine=pictures.cosine[left], same_picture=is_same[left]
    )
    return _Checked(kept, len(refuted), sum(answer is None for answer in found))


def _tables(sides: tuple[OverlapSide, OverlapSide], people: SharedPeople, pictures: SharedPictures) -> Shared:
    index = [side.vectors.label_index for side in sides]
    sizes = [np.bincount(numbers) for numbers in index]
    same = pictures.same_picture
    together = Counter(zip(index[0][pictures.a[same]].tolist(), index[1][pictures.b[same]].tolist(), strict=True))
    ids = [side.rows["sample_id"] for side in sides]
    rows = []
    for i, (a, b) in enumerate(zip(people.a.tolist(), people.b.tolist(), strict=True)):
        evidence = [ids[k].take(pa.array(people.evidence[i][k])).to_pylist() for k in (0, 1)]
        row = {
            "label_a": sides[0].labels[a],
            "label_b": sides[1].labels[b],
            "n_a": int(sizes[0][a]),
            "n_b": int(sizes[1][b]),
            "score": people.score[i],
            "cosine": people.cosine[i],
            "expected_false": people.expected_false[i],
            "mutual": bool(people.mutual[i]),
            "same_pictures": together[a, b],
            "evidence_a": evidence[0],
            "evidence_b": evidence[1],
        }
        rows.append(row)
    return Shared(table_of(rows, SHARED_PEOPLE), _picture_table(sides, pictures))


def _picture_table(sides: tuple[OverlapSide, OverlapSide], pictures: SharedPictures) -> pa.Table:
    found = [side.rows.take(pa.array(rows)) for side, rows in zip(sides, (pictures.a, pictures.b), strict=True)]
    a, b = ([table[name].to_pylist() for name in ("sample_id", "label", "sha256")] for table in found)
    same = [None if None in pair else pair[0] == pair[1] for pair in zip(a[2], b[2], strict=True)]
    columns = [*a[:2], *b[:2], pictures.cosine.astype(np.float32), pictures.same_picture, same]
    fields = [pa.array(values, field.type) for values, field in zip(columns, SHARED_PICTURES, strict=True)]
    return pa.table(fields, schema=SHARED_PICTURES)


def _figures(
    sides: tuple[OverlapSide, OverlapSide], people: SharedPeople, pictures: SharedPictures, settings: OverlapSettings
) -> dict[str, Any]:
    last = [people.expected_false[group][-1:].sum() for group in (people.mutual, ~people.mutual)]
    return {
        **{side.name: {"set": side.place, "labels": len(side.labels), "images": len(side.rows)} for side in sides},
        "people": {
            "pairs": len(people.a),
            "mutual": int(people.mutual.sum()),
            "labels_a": len(np.unique(people.a)),
            "labels_b": len(np.unique(people.b)),
            "threshold": people.thresholds[0],
            "threshold_not_mutual": people.thresholds[1],
            "expected_false": float(sum(last)),
            "false_share": settings.false_share,
            "comparisons": people.comparisons,
            "strangers_measured": people.tail.pairs,
            "tail": {"rank": people.tail.rank, "score": people.tail.score, "scale": people.tail.scale},
        },
        "pictures": {
            "same_picture_pairs": int(pictures.same_picture.sum()),
            "same_picture_images_a": len(np.unique(pictures.a[pictures.same_picture])),
            "same_picture_images_b": len(np.unique(pictures.b[pictures.same_picture])),
            "same_picture": settings.same_picture,
            "same_person_images_b": int((~pictures.same_picture).sum()),
            "threshold": pictures.threshold,
            "expected_false": pictures.expected_false,
            "alike_strangers": pictures.alike_strangers,
        },
    }


def _drop(side: OverlapSide, shared: Shared, out: Path) -> dict[str, Any]:
    """Write the set without what is shared, and what was dropped; counts for the record."""
    separated = drop_shared(side.table, shared, side.name)
    write_table(separated.kept, out / "kept.parquet")
    write_table(separated.dropped, out / "dropped.parquet")
    reasons = Counter(separated.dropped["reason"].to_pylist())
    return {
        "from": side.name,
        "rows": len(side.table),
        "kept": len(separated.kept),
        "dropped": len(separated.dropped),
        **dict(sorted(reasons.items())),
    }


def _warnings(people: SharedPeople, pictures: SharedPictures, sides: tuple[OverlapSide, OverlapSide]) -> list[str]:
    warnings = []
    if people.tail.rank < _FEW_PAIRS:
        warnings.append(
            f"with {len(sides[0].labels)} and {len(sides[1].labels)} labels, the threshold for people rests on few "
            "pairs of strangers; look at people.parquet before you rely on it"
        )
    if pictures.alike_strangers > _MOST_ALIKE:
        warnings.append(
            f"{pictures.alike_strangers:.1%} of the images are as near to one of another label of their own set as "
            "copies of a picture; if these are no copies, raise --same-picture"
        )
    return warnings


def _write_sheet(
    sheet: Path, sides: tuple[OverlapSide, OverlapSide], shared: Shared, images: Sequence[Location]
) -> list[str]:
    manifests = [with_images(side.rows, images) if images else side.rows for side in sides]
    picture, lost = overlap_sheet(manifests[0], manifests[1], shared.people)
    write_bytes(sheet, picture)
    return [f"{lost} of the images to show could not be read; give their folder or tar with --images"] if lost else []
