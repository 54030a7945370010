"""Photos -> faces: the crops of a set, kept up to date, and the manifest of them.

``crops/faces.parquet`` holds the faces of every photo by the hash of its bytes, so a photo is searched once, whatever
its names and labels; ``crops/*.tar`` hold their pictures. Shards without a face in use are removed.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.config import AlignConfig
from purify.embedding.blocks import RunBlocks, load_result, run_pending
from purify.errors import InputError
from purify.faces.detectors import open_detector
from purify.pipeline.align_blocks import AlignBlock, crop_name, write_shard
from purify.pipeline.fingerprint import made_with
from purify.progress import Progress, silent
from purify.storage.files import local_file, open_parquet, read_table, write_table
from purify.storage.hashes import sha256_json
from purify.storage.locations import to_location
from purify.storage.own_files import claim_work, erase, remove_work
from purify.tables.manifest import ok_rows
from purify.tables.schema import FACES

_MADE_WITH = b"purify.aligned_with"
#: Table of the faces in the folder of the crops, and folder of unfinished blocks.
FACES_FILE, _BLOCKS = "faces.parquet", "blocks"
_BLOCK = re.compile(r"[0-9a-f]{12}-\d{9}\.npy")


def align_photos(
    photos: pa.Table, crops: Path, config: AlignConfig, *, run_blocks: RunBlocks, progress: Progress = silent
) -> pa.Table:
    """Find and crop the faces of the ok rows of `photos` (schema `MANIFEST`); those known by their bytes are kept.

    Returns the faces (schema `FACES`) and writes them and their shards into the folder `crops`. An interrupted
    alignment goes on where it ended, to the same bytes.
    """
    rows = ok_rows(photos)
    if rows["uri"].null_count or rows["sha256"].null_count:
        raise InputError("the manifest has rows without an image; run `purify ingest` with the --images roots first")
    file = None if config.detector is None else local_file(to_location(config.detector))
    detector = open_detector(file, config.min_score).name
    origin = made_with("align", {"detector": detector, "size": config.size})
    known = _known_faces(crops, origin)
    contents = rows["sha256"].combine_chunks()
    known = known.filter(pc.is_in(known["photo_sha256"], contents.unique()))
    new = rows.filter(pc.invert(pc.is_in(contents, known["photo_sha256"].combine_chunks())))
    first = np.unique(new["sha256"].to_numpy(zero_copy_only=False), return_index=True)[1]
    new = new.take(pa.array(np.sort(first)))
    blocks = _blocks(new, crops, config, detector=detector, file=file, origin=origin)
    for folder in (crops, crops / _BLOCKS):
        claim_work(folder)
    run_pending(blocks, run_blocks, progress)
    faces = pa.concat_tables([known, *(_faces_of(block) for block in blocks)]).combine_chunks()
    faces = faces.replace_schema_metadata({**(FACES.metadata or {}), _MADE_WITH: origin.encode()})
    write_table(faces, crops / FACES_FILE)
    _remove_rest(crops, faces)
    return faces


def _known_faces(crops: Path, origin: str) -> pa.Table:
    """The faces of an earlier alignment with the same detector and settings whose shards are there."""
    path = crops / FACES_FILE
    if not path.exists():
        return FACES.empty_table()
    try:
        with open_parquet(path) as file:
            made = (file.schema_arrow.metadata or {}).get(_MADE_WITH)
        faces = read_table(path, FACES) if made == origin.encode() else FACES.empty_table()
    except InputError:  # damaged: only time is lost
        return FACES.empty_table()
    shards = _shards(faces)
    missing = [shard for shard in shards.unique().drop_null().to_pylist() if not (crops / shard).is_file()]
    gone = faces.filter(pc.is_in(shards, pa.array(missing, pa.string())))["photo_sha256"].combine_chunks()
    return faces.filter(pc.invert(pc.is_in(faces["photo_sha256"], gone)))


def _shards(faces: pa.Table) -> pa.ChunkedArray:
    return pc.replace_substring_regex(faces["crop"], "/.*", "")


def _blocks(
    new: pa.Table, crops: Path, config: AlignConfig, *, detector: str, file: Path | None, origin: str
) -> Sequence[AlignBlock]:
    uris, contents = new["uri"].to_pylist(), new["sha256"].to_pylist()
    digest = sha256_json([origin, config.shard_size, contents])[:12]
    parts = [slice(start, start + config.shard_size) for start in range(0, len(uris), config.shard_size)]
    return [
        AlignBlock(
            detector=None if file is None else str(file.resolve()),
            min_score=config.min_score,
            made_by=detector,
            size=config.size,
            uris=tuple(uris[part]),
            contents=tuple(contents[part]),
            start=part.start,
            shard=str(crops.resolve() / f"{digest}-{part.start:09d}.tar"),
            out=str(crops.resolve() / _BLOCKS / f"{digest}-{part.start:09d}.npy"),
        )
        for part in parts
    ]


def _faces_of(block: AlignBlock) -> pa.Table:
    """The result of a finished block."""
    found = load_result(Path(block.out))
    some = found["face"] >= 0
    contents = [block.contents[photo] for photo in found["photo"]]
    shard = Path(block.shard).name
    crops = [f"{shard}/{crop_name(sha, face)}" for sha, face in zip(contents, found["face"], strict=True)]

    def where_found(values: Any) -> pa.Array:
        return pc.if_else(pa.array(some), pa.array(values), None)

    columns = {
        "photo_sha256": pa.array(contents, pa.string()),
        "face": where_found(found["face"]),
        "crop": where_found(crops),
        "sha256": where_found([digest.decode() for digest in found["sha256"]]),
        "box": _lists(found["box"], some),
        "points": _lists(found["points"], some),
        "face_score": where_found(found["score"]),
        "faces": pa.array(found["faces"]),
        "yaw": where_found(found["yaw"]),
    }
    return pa.table([columns[name].cast(FACES.field(name).type) for name in FACES.names], schema=FACES)


def _lists(values: npt.NDArray[np.float32], some: npt.NDArray[np.bool_]) -> pa.Array:
    rows = [row.tolist() if valid else None for row, valid in zip(values, some, strict=True)]
    return pa.array(rows, pa.list_(pa.float32()))


def keep_crops_in_use(crops: Path) -> None:
    """Write the shards in the folder `crops` anew without the crops that ``faces.parquet`` no longer names."""
    used = set(read_table(crops / FACES_FILE, FACES, columns=["crop"])["crop"].to_pylist())
    for shard in sorted(crops.glob("*-*.tar")):
        with tarfile.open(shard) as tar:
            members = [(member, tar.extractfile(member)) for member in tar]
            found = [(member.name, file.read()) for member, file in members if file is not None]
        kept = [(name, data) for name, data in found if f"{shard.name}/{name}" in used]
        if not kept:
            erase(shard)
        elif len(kept) < len(found):
            write_shard(shard, kept)


def _remove_rest(crops: Path, faces: pa.Table) -> None:
    """Remove results of finished blocks, and shards of this folder without a face in use."""
    used = set(_shards(faces).unique().to_pylist())
    unused = [re.escape(shard.name) for shard in crops.glob("*-*.tar") if shard.name not in used]
    remove_work(crops, re.compile("|".join(unused)))
    remove_work(crops / _BLOCKS, _BLOCK)
