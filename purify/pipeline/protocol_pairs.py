"""Protocols on pairs of images: the verification sets, MLFW, and labeled people with drawn masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from purify.arrays import Floats, Ids, Vectors
from purify.errors import InputError
from purify.evaluation.people import People, number_people
from purify.evaluation.protocols.drawn_pairs import draw_pairs, first_images
from purify.evaluation.protocols.fold_pairs import FoldedPairs, file_folds, verify_folds
from purify.evaluation.protocols.gallery_search import identify, search_gallery
from purify.evaluation.protocols.named import Family, Masks, NamedProtocol
from purify.evaluation.protocols.protocol_figures import Figure, ProtocolFigures
from purify.evaluation.protocols.template_pooling import unit_rows
from purify.evaluation.unseen_pairs import SeenBy, exclude_training
from purify.pipeline.model_comparison import usable_pairs
from purify.pipeline.protocol_data import ProtocolData
from purify.pipeline.protocol_faces import BinFaces, StoredFaces, TestFaces, find_faces
from purify.pipeline.protocol_models import TestedModel, Wanted
from purify.pipeline.seen_images import seen_pictures
from purify.progress import Progress
from purify.storage.image_bytes import ImageByteReader
from purify.storage.locations import Location
from purify.tables.image_lists import person_of_masked, read_masked_pairs
from purify.tables.manifest import ok_rows
from purify.tables.pairs import Pairs, read_pairs
from purify.tables.user_tables import read_samples
from purify.tables.verification_bins import BinPairs, read_bin

_DRAWN_PAIRS = 3000


@dataclass(frozen=True, eq=False)
class PairTest:
    """P pairs ``rows[P, 2]`` of `faces`, and what was counted when they were read."""

    faces: TestFaces
    rows: Ids
    pairs: FoldedPairs
    counts: Mapping[str, Any]


@dataclass(eq=False)
class PairTests:
    """Reads pairs without those that training has seen, and keeps the last: variants of a protocol share faces."""

    data: ProtocolData
    last: tuple[Location, Family, PairTest] | None = None

    def read(self, protocol: NamedProtocol) -> PairTest:
        """The pairs of a protocol."""
        path = self.data.require(protocol, protocol.files[0] if protocol.files else "")
        if self.last is None or self.last[:2] != (path, protocol.family):
            self.last = (path, protocol.family, _read(path, protocol, self.data))
        return self.last[2]


def _read(path: Location, protocol: NamedProtocol, data: ProtocolData) -> PairTest:
    manifest = data.trained.manifest
    if path.suffix.lower() == ".bin":
        return _of_bin(read_bin(path), manifest)
    if protocol.family is Family.MASKED_PAIRS:
        listed = read_masked_pairs(path)
        people = [[person_of_masked(name) for name in side] for side in (listed.a, listed.b)]
        same, fold = np.array(listed.same, dtype=bool), np.array(listed.fold, dtype=np.int64)
        pairs = Pairs(path.name, tuple(listed.a), tuple(listed.b), tuple(people[0]), tuple(people[1]), same, fold, 0, 0)
        pairs, counts = _unseen(replace(pairs, given=len(same)), manifest)
    elif manifest is not None:
        pairs, counts = usable_pairs(path, data.roots, manifest, data.config.evaluate, names=data.names())
    else:
        pairs = read_pairs(path, data.names(), prefix=data.config.evaluate.pairs_prefix)
        counts = {"given": pairs.given, "missing": pairs.missing, "used": len(pairs.a)}
    return _of_names(pairs, counts, data)


def _unseen(
    pairs: Pairs, manifest: pa.Table | None, seen: Mapping[str, SeenBy] | None = None
) -> tuple[Pairs, dict[str, Any]]:
    if manifest is None:
        return pairs, {"given": pairs.given, "used": len(pairs.a)}
    rows = ok_rows(manifest)
    return exclude_training(
        pairs, sample_ids=rows["sample_id"].to_pylist(), labels=rows["label"].unique().to_pylist(), seen=seen or {}
    )


def _of_names(pairs: Pairs, counts: Mapping[str, Any], data: ProtocolData) -> PairTest:
    names = sorted({*pairs.a, *pairs.b})
    position = {name: row for row, name in enumerate(names)}
    rows = np.array([[position[name] for name in side] for side in (pairs.a, pairs.b)]).T
    faces = StoredFaces(names, find_faces(names, data.roots), ImageByteReader(), in_file_order=False)
    return PairTest(faces, rows, FoldedPairs(pairs.same, pairs.fold, _people(pairs)), counts)


def _people(pairs: Pairs) -> People | None:
    """The people by the names in the file; None unless all are known."""
    a, b = ([name for name in side if name is not None] for side in (pairs.person_a, pairs.person_b))
    return People.named(a, b) if len(a) == len(b) == len(pairs.a) else None


def _of_bin(content: BinPairs, manifest: pa.Table | None) -> PairTest:
    count = len(content.same)
    names = [str(number) for number in range(2 * count)]
    nobody = (None,) * count
    fold = file_folds(count, min(10, count))
    pairs = Pairs(content.file, tuple(names[::2]), tuple(names[1::2]), nobody, nobody, content.same, fold, count, 0)
    if content.same.all() or not content.same.any():
        raise InputError(f"{content.file}: all pairs are of one kind; same and different ones are needed")
    pictures = dict(zip(names, content.images, strict=True))
    seen = {} if manifest is None else seen_pictures(pictures, ok_rows(manifest))
    pairs, counts = _unseen(pairs, manifest, seen)
    rows = np.array([[int(name) for name in side] for side in (pairs.a, pairs.b)]).T
    return PairTest(BinFaces(names, content.images), rows, FoldedPairs(pairs.same, pairs.fold), counts)


def measure_pairs(
    protocol: NamedProtocol, test: PairTest, model: TestedModel, data: ProtocolData, progress: Progress
) -> ProtocolFigures:
    """Figures of one model on the pairs of a protocol."""
    masked = {Masks.NONE: (False, False), Masks.SECOND: (False, True), Masks.BOTH: (True, True)}[protocol.masks]
    flip = data.config.embed.flip
    sides = {masks: model.vectors(test.faces, Wanted(masks=masks, flip=flip), progress) for masks in {*masked}}
    a, b = (_units(sides[masks])[test.rows[:, side]] for side, masks in enumerate(masked))
    return verify_folds(
        np.einsum("pd,pd->p", a, b),
        test.pairs,
        fars=protocol.rates,
        interpolated=protocol.as_insightface,
        samples=data.config.evaluate.bootstrap,
        seed=data.config.seed,
    )


def measure_people(
    protocol: NamedProtocol, model: TestedModel, data: ProtocolData, progress: Progress
) -> ProtocolFigures:
    """Verification with 0, 1 and 2 masks a pair, and identification of bare and masked faces, on a labeled table."""
    path = data.require(protocol, protocol.files[0] if protocol.files else "")
    table = read_samples(path)
    unseen = data.trained.unseen(table["sample_id"].to_pylist(), table["label"].to_pylist())
    given, table = len(table), table.filter(pa.array(unseen))
    if not len(table):
        raise InputError(f"{protocol.name}: all people of {path.name} are in the training set")
    names = table["sample_id"].to_pylist()
    person = number_people(table["label"].to_pylist())
    faces = StoredFaces(names, find_faces(names, data.roots), ImageByteReader())
    vectors = [
        _units(model.vectors(faces, Wanted(masks=masks, flip=data.config.embed.flip), progress))
        for masks in (False, True)
    ]
    drawn = draw_pairs(person, _DRAWN_PAIRS, seed=data.config.seed)
    first, second = person[drawn.rows].T
    people = People(first, second, int(person.max()) + 1)
    figures: dict[str, Figure] = {}
    refused: dict[str, str] = {}
    counts = {"images": len(names), "people": people.count}
    if data.trained.manifest is not None:
        counts["images_of_people_trained_on_left_out"] = given - len(names)
    for masks, sides in enumerate(((0, 0), (0, 1), (1, 1))):
        scores = np.einsum("pd,pd->p", vectors[sides[0]][drawn.rows[:, 0]], vectors[sides[1]][drawn.rows[:, 1]])
        found = verify_folds(
            scores,
            FoldedPairs(drawn.same, drawn.fold, people),
            fars=protocol.rates,
            samples=data.config.evaluate.bootstrap,
            seed=data.config.seed,
        )
        counts |= found.counts
        figures |= {f"{name}, {masks} masks": figure for name, figure in found.figures.items()}
        refused |= {f"{name}, {masks} masks": why for name, why in found.refused.items()}
    figures |= _rank_figures(vectors, person, data)
    return ProtocolFigures(figures, refused, counts, "people")


def _rank_figures(vectors: list[Floats], person: Ids, data: ProtocolData) -> dict[str, Any]:
    """Closed-set rank-1 with the first image of each person as the gallery."""
    gallery = first_images(person)
    probes = np.setdiff1d(np.arange(len(person)), gallery)
    figures = {}
    for name, probe_side, gallery_side in (("", 0, 0), (", masked probe", 1, 0), (", masked gallery", 0, 1)):
        searches = search_gallery(
            vectors[probe_side][probes], person[probes], vectors[gallery_side][gallery], person[gallery]
        )
        found = identify(
            [searches], ranks=(1,), fpirs=(), samples=data.config.evaluate.bootstrap, seed=data.config.seed
        )
        figures[f"rank-1{name}"] = found.figures["rank-1"]
    return figures


def _units(vectors: Vectors) -> Floats:
    return unit_rows(np.asarray(vectors, np.float64))
