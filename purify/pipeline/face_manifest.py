"""The manifest of the faces in photos: which face stands for a photo, and why a photo has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from purify.config import AlignConfig
from purify.images.defects import Defect
from purify.storage.locations import tar_uri
from purify.tables.schema import FACES, MANIFEST, Status

Row = dict[str, Any]
#: Whether a face may stand for its photo: its defects, as statuses.
_STATUS = {Defect.NO_FACE: Status.NO_FACE, Defect.SMALL_FACE: Status.TOO_SMALL, Defect.PROFILE: Status.PROFILE}
_PROMINENT = "the largest and most central face"
_FOUND = ("box", "points", "face_score", "faces", "yaw")


def face_manifest(
    photos: pa.Table, faces: pa.Table, crops: Path, config: AlignConfig, choices: Mapping[str, Row] | None = None
) -> pa.Table:
    """Photos (schema `MANIFEST`) and their `faces` (schema `FACES`) -> the manifest of their crops.

    A photo's face is the most prominent of those that are large enough and not turned too far; `choices` (rows of
    `FACE_CHOICES` by sample_id) name another one, as long as the photo is the same. With ``config.all_faces`` each of
    them is a row, after the first with ``#face-N`` added to the sample_id. A photo without any is a row with its
    status.
    """
    found = _by_photo(faces)
    rows: list[Row] = []
    for photo in photos.to_pylist():
        photo |= {"photo_uri": photo["uri"], "photo_sha256": photo["sha256"]}
        if photo["status"] != Status.OK.value:
            rows.append(photo)
            continue
        candidates = found[photo["sha256"]]
        usable = [face for face in candidates if _defect(face, config) is None]
        if not usable:
            rows.append(photo | _without_face(candidates, config))
        elif config.all_faces:
            rows += _each(photo, usable, crops, config.size)
        else:
            rows.append(_chosen(photo, usable, crops, config.size, (choices or {}).get(photo["sample_id"])))
    return pa.Table.from_pylist(rows, schema=MANIFEST)


def several_faces(photos: pa.Table, faces: pa.Table, crops: Path, config: AlignConfig) -> pa.Table:
    """All usable faces of the photos with more than one (schema `MANIFEST`), the most prominent of each first."""
    everyone = face_manifest(photos, faces, crops, config.model_copy(update={"all_faces": True}))
    names = [photo_of(name) for name in everyone["sample_id"].to_pylist()]
    counts = Counter(names)
    return everyone.filter(pa.array([counts[name] > 1 for name in names], pa.bool_()))


def photo_of(sample_id: str) -> str:
    """The sample_id of a face's photo."""
    name, mark, number = sample_id.rpartition("#face-")
    return name if mark and number.isdigit() else sample_id


def _by_photo(faces: pa.Table) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for face in faces.select(FACES.names).to_pylist():
        known = found.setdefault(face["photo_sha256"], [])
        if face["face"] is not None:
            known.append(face)
    return found


def _defect(face: Row, config: AlignConfig) -> str | None:
    """Why a face can't be used, as a ``status_reason``; None if it can."""
    left, top, right, bottom = face["box"]
    if (side := min(right - left, bottom - top)) < config.min_face:
        return f"{Defect.SMALL_FACE}: {side:.0f} pixels < {config.min_face}"
    if abs(face["yaw"]) > config.max_yaw:
        return f"{Defect.PROFILE}: turned by {abs(face['yaw']):.0f} degrees > {config.max_yaw:g}"
    return None


def _without_face(candidates: Sequence[Row], config: AlignConfig) -> Row:
    """What a row without a usable face says; the photo stays its image."""
    if not candidates:
        reason = f"{Defect.NO_FACE}: none found, upright or turned"
        return {"status": Status.NO_FACE.value, "status_reason": reason, "faces": 0}
    face = candidates[0]
    reason = str(_defect(face, config))
    if (count := len(candidates)) > 1:
        reason += f", the largest of {count} faces"
    status = _STATUS[Defect(reason.partition(":")[0])]
    return {"status": status.value, "status_reason": reason} | {name: face[name] for name in _FOUND}


def _row(photo: Row, face: Row, crops: Path, size: int, choice: str) -> Row:
    shard, _, member = face["crop"].partition("/")
    crop = {"uri": tar_uri(member, str(crops.absolute() / shard)), "sha256": face["sha256"]}
    size_of = {"width": size, "height": size}
    return photo | crop | size_of | {name: face[name] for name in _FOUND} | {"face_choice": choice}


def _each(photo: Row, usable: Sequence[Row], crops: Path, size: int) -> Iterator[Row]:
    for number, face in enumerate(usable, start=1):
        row = _row(photo, face, crops, size, f"face {number} of {face['faces']}")
        yield row if number == 1 else row | {"sample_id": f"{photo['sample_id']}#face-{number}"}


def _chosen(photo: Row, usable: Sequence[Row], crops: Path, size: int, choice: Row | None) -> Row:
    if choice is not None and choice["photo_sha256"] == photo["photo_sha256"]:
        for face in usable:
            if face["face"] == choice["face"]:
                return _row(photo, face, crops, size, choice["why"])
    face = usable[0]
    why = "the only face" if face["faces"] == 1 else f"{_PROMINENT} of {face['faces']}"
    return _row(photo, face, crops, size, why)
