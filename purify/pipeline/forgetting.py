"""Forgetting people: their rows leave every table of a run, their centers every model, and a receipt is written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError, did_you_mean
from purify.models.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from purify.pipeline import stages
from purify.pipeline.alignment import keep_crops_in_use
from purify.pipeline.face_choice_stage import CANDIDATES_FILE
from purify.pipeline.judged_run import link_verdicts
from purify.pipeline.pair_images import PAIR_CROPS
from purify.pipeline.request import RunRequest, resumed_request
from purify.storage import remote
from purify.storage.files import open_parquet, read_columns, sha256_file, write_json, write_table
from purify.storage.integrity import LEDGER, entry_of
from purify.storage.locations import Url, split_uri, to_location
from purify.storage.own_files import ASIDE, erase
from purify.storage.run_folder import LOCK, RunFolder
from purify.storage.tar_index import index_tar
from purify.storage.unpacked import UNPACKED

#: Folder of a run with the receipts.
RECEIPTS = "forgotten"
#: Columns by which a row belongs to a person: the image, or the label.
_IMAGE_COLUMNS = {
    **{"sample_id": "ids", "uri": "uris", "sha256": "hashes"},
    **{"photo_uri": "uris", "photo_sha256": "hashes"},  # all faces of a photo go with it
}
_LABEL_COLUMNS = ("label", "true_label", "given_label", "new_label")
#: Rewritten by the stages that judge what is left.
_REMADE = ("verdicts.parquet", "class_report.parquet", "changes.parquet", "cleaned.parquet", "removed.parquet")
_UNFINISHED = ("resume.safetensors",)


@dataclass(frozen=True)
class Traces:
    """What belongs to the people to forget."""

    labels: frozenset[str]
    ids: frozenset[str]
    uris: frozenset[str]
    hashes: frozenset[str]


@dataclass(frozen=True)
class Receipt:
    """What was forgotten, in numbers: it names nobody.

    Attributes
    ----------
    at
        Time, in UTC.
    images, people
        Numbers of forgotten images and labels.
    rows
        File -> number of its rows that left.
    models_trained_on_them
        Models whose weights have learned from the images; their centers and labels of the people are gone.
    cached_images
        Number of images that left this machine's cache of images from stores.
    cached_copies
        Number of cached files that held images or their rows as a whole: unpacked archives, inputs from stores.
    still_in_source
        Number of the images that are still at their place: the next update would take them in again.
    """

    at: str
    images: int
    people: int
    rows: dict[str, int] = field(default_factory=dict)
    models_trained_on_them: tuple[str, ...] = ()
    cached_images: int = 0
    cached_copies: int = 0
    still_in_source: int = 0


def forget(place: Path, names: Sequence[str]) -> Receipt:
    """Forget people (labels) or images (sample ids) of the run at `place`; all others are judged again without them.

    Raises
    ------
    InputError
        If a name is unknown to the run, or the run is unfinished.
    """
    run = RunFolder(place)
    request = resumed_request(place)
    with run.lock():
        _require_finished(run)
        traces = _traces(run, names)
        there = sum(_is_in_source(uri, run) for uri in traces.uris)
        rows = {name: left for name, left in _rewrite_tables(run, traces) if left}
        _take_out_centers(run, traces)
        for crops in (run.crops, run.root / PAIR_CROPS):
            if crops.exists():
                keep_crops_in_use(crops)
        erase(run.crops / CANDIDATES_FILE)
        for path in sorted((run.root / ASIDE).glob("*")):
            erase(path)
        run.update_info(source_warnings=[], damage=[])
        _judge_again(run, request)
        receipt = Receipt(
            at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            images=len(traces.ids),
            people=len(traces.labels),
            rows=rows,
            models_trained_on_them=tuple(_trained_on(run, rows)),
            cached_images=_erase_cached(traces),
            cached_copies=_erase_copies(traces, request),
            still_in_source=there,
        )
        write_json(run.root / RECEIPTS / f"{receipt.at.replace(':', '')}.json", asdict(receipt))
    return receipt


def _require_finished(run: RunFolder) -> None:
    growth = run.read_info().get("growth") or {}
    unfinished = [path for name in _UNFINISHED for path in run.root.rglob(name)]
    if unfinished or not growth.get("finished", True) or any(run.root.rglob("*.shards-*")):
        raise InputError(f"{run.root}: the run is unfinished; finish it with --resume first")


def _tables(run: RunFolder) -> list[Path]:
    return sorted(path for path in run.root.rglob("*.parquet") if ASIDE not in path.relative_to(run.root).parts)


def _read(path: Path) -> pa.Table:
    with open_parquet(path) as file:
        return read_columns(path, file, file.schema_arrow.names).replace_schema_metadata(file.schema_arrow.metadata)


def _traces(run: RunFolder, names: Sequence[str]) -> Traces:
    """All that the names stand for, in any table: an earlier call may have been interrupted."""
    wanted = pa.array(sorted(set(names)), pa.string())
    known: set[str] = set()
    found: dict[str, set[str]] = {"labels": set(), "ids": set(), "uris": set(), "hashes": set()}
    for path in _tables(run):
        table = _read(path)
        labels = [name for name in _LABEL_COLUMNS if name in table.column_names]
        for name in labels:
            present = set(table[name].unique().to_pylist()) - {None}
            known |= present
            found["labels"] |= present & set(names)
        if "sample_id" not in table.column_names:
            continue
        rows = table.filter(_any(table, [*labels, "sample_id"], wanted))
        for name, kind in _IMAGE_COLUMNS.items():
            if name in rows.column_names:
                found[kind] |= set(rows[name].to_pylist()) - {None}
    if missing := [name for name in names if name not in found["labels"] | found["ids"]]:
        raise InputError(f"{run.root}: knows no person and no image {missing[0]!r}{did_you_mean(missing[0], known)}")
    return Traces(**{kind: frozenset(values) for kind, values in found.items()})


def _any(table: pa.Table, columns: Sequence[str], values: pa.Array) -> pa.ChunkedArray:
    """Mask of the rows with one of `values` in one of `columns`."""
    mask = pa.chunked_array([pa.repeat(False, len(table))])
    for name in columns:
        mask = pc.or_(mask, pc.fill_null(pc.is_in(table[name], values), False))
    return mask


def _rewrite_tables(run: RunFolder, traces: Traces) -> Iterator[tuple[str, int]]:
    """Write the tables without the rows of the people; tables that are made again are left to their stages."""
    for path in _tables(run):
        table = _read(path)
        gone = _any(table, [c for c in _LABEL_COLUMNS if c in table.column_names], _strings(traces.labels))
        for name, kind in _IMAGE_COLUMNS.items():
            if name in table.column_names:
                gone = pc.or_(gone, _any(table, [name], _strings(getattr(traces, kind))))
        left = pc.sum(gone).as_py() or 0
        if left and path.name not in _REMADE:
            write_table(table.filter(pc.invert(gone)), path)
        yield path.relative_to(run.root).as_posix(), left


def _strings(values: frozenset[str]) -> pa.Array:
    return pa.array(sorted(values), pa.string())


def _trained_on(run: RunFolder, rows: dict[str, int]) -> Iterator[str]:
    """Models by the folders of the training tables that lost rows; ``raw`` shares the table of round 1."""
    for name in rows:
        folder, _, table = name.rpartition("/")
        if table == "train.parquet" and (run.root / folder / "checkpoint" / FILE_NAME).exists():
            yield folder


def _take_out_centers(run: RunFolder, traces: Traces) -> None:
    """Take the people's labels and centers out of the checkpoints."""
    for path in sorted(run.root.rglob(FILE_NAME)):
        model = load_checkpoint(path.parent)
        kept = [row for row, label in enumerate(model.labels) if label not in traces.labels]
        if len(kept) < len(model.labels):
            labels, head = tuple(model.labels[row] for row in kept), model.head_weight[kept].contiguous()
            save_checkpoint(path.parent, replace(model, labels=labels, head_weight=head))


def _judge_again(run: RunFolder, request: RunRequest) -> None:
    """Verdicts, cleaned tables and report of what is left; each round by its own model."""
    linked = (run.root / run.verdicts.name).exists()
    numbers: list[Any] = [entry["round"] for entry in run.read_info().get("rounds", [])] or [1]
    for number in numbers:
        stages.analyze(run, number, request.config, embeddings=request.embeddings_at if number == 1 else None)
        if number > 1:
            stages.compare(run, number, request.config)
    stages.apply(run)
    if linked:
        link_verdicts(run)
    stages.report(run)


def _is_in_source(uri: str, run: RunFolder) -> bool:
    """Whether an image is still there, and no crop of the run's own."""
    place = split_uri(uri).place
    own = [crops.absolute() for crops in (run.crops, run.root / PAIR_CROPS)]
    return isinstance(place, Path) and place.exists() and not any(place.is_relative_to(crops) for crops in own)


def _erase_cached(traces: Traces) -> int:
    """Erase the images from the cache of images from stores, by their bytes."""
    if not any(isinstance(split_uri(uri).place, Url) for uri in traces.uris):
        return 0
    cached = [path for path in (remote.cache_folder() / "images").rglob("*") if path.is_file()]
    ours = [path for path in cached if sha256_file(path) in traces.hashes]
    for path in ours:
        erase(path)
    return len(ours)


def _erase_copies(traces: Traces, request: RunRequest) -> int:
    """Erase cached copies of whole files with the images: unpacked archives, and inputs from stores.

    They are made again from what is in the source by then.
    """
    images = [split_uri(uri) for uri in traces.uris]
    members = {image.key for image in images if image.key is not None}
    copies = [path for path in (remote.cache_folder() / UNPACKED).glob("*.tar") if _holds(path, members)]
    config = request.config
    inputs = [request.source, request.embeddings, *config.ingest.more, *config.ingest.images, config.apply.reviews]
    for place in {to_location(place) for place in inputs if place} | {image.place for image in images}:
        if isinstance(place, Url):
            copies += [path for path in remote.cache_path("files", place).parent.rglob("*") if path.is_file()]
    for path in copies:
        erase(path)
    return len(copies)


def _holds(archive: Path, members: set[str]) -> bool:
    """Whether a cached tar has one of the members; one that can't be read is taken to have them."""
    try:
        return not members.isdisjoint(index_tar(archive).members)
    except InputError:
        return True


def foreign_files(place: Path) -> list[str]:
    """Names of the files in a run folder that purify has not written: `forget` does not look into them."""
    kept = {LEDGER, ASIDE, RECEIPTS, LOCK}
    names = [path.relative_to(place) for path in sorted(place.rglob("*")) if path.is_file() and path.stat().st_size]
    return [name.as_posix() for name in names if name.parts[0] not in kept and not _is_ours(place / name)]


def _is_ours(path: Path) -> bool:
    entry = entry_of(path)
    return entry is not None and entry.exists()
