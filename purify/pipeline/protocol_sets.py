"""Protocols on whole sets: IJB's templates, MegaFace's distractors, and all pairs of Trillion Pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from purify.arrays import Floats, Ids, Vectors
from purify.errors import InputError
from purify.evaluation.people import number_people
from purify.evaluation.protocols.distractor_search import (
    DistractorRates,
    replace_noise_as_insightface,
    search_among_distractors,
)
from purify.evaluation.protocols.gallery_search import identify, identify_as_insightface, search_gallery
from purify.evaluation.protocols.named import NamedProtocol
from purify.evaluation.protocols.protocol_figures import ProtocolFigures
from purify.evaluation.protocols.template_pairs import listed_scores, verify_templates
from purify.evaluation.protocols.template_pooling import Templates, pool_templates, unit_rows
from purify.evaluation.protocols.trillion_pairs import AllPairsRates, verify_all_pairs
from purify.models.precision import default_device
from purify.pipeline.protocol_data import ProtocolData
from purify.pipeline.protocol_faces import PointedFaces, StoredFaces, TestFaces, find_faces
from purify.pipeline.protocol_models import TestedModel, Wanted
from purify.progress import Progress
from purify.storage.image_bytes import ImageByteReader
from purify.tables.image_lists import is_noisy, read_image_list, read_listed_people, read_noise_list
from purify.tables.template_files import read_face_points, read_search_list, read_template_images, read_template_pairs
from purify.tables.user_tables import read_samples

#: Bootstrap resamples where each takes seconds.
_FEW = 200


@dataclass(frozen=True, eq=False)
class TemplateTest:
    """Images of templates, as IJB lists them."""

    faces: TestFaces
    template: Ids
    media: Ids
    detector_score: Floats | None

    def pool(self, protocol: NamedProtocol, model: TestedModel, progress: Progress) -> Templates:
        """Templates of a model's embeddings by the protocol's variant."""
        variant = protocol.pooling
        vectors = model.vectors(self.faces, Wanted(flip=variant.flip, lengths=variant.lengths), progress)
        return pool_templates(vectors.astype(np.float64), self.template, self.media, self.detector_score, variant)


def read_template_test(protocol: NamedProtocol, data: ProtocolData) -> TemplateTest:
    """Read the images of IJB's templates; they are aligned by the points of the detector's file if it is there."""
    listed = read_template_images(data.require(protocol, protocol.files[0]))
    path = data.find(protocol, protocol.files[-1])
    points = read_face_points(path) if path is not None else None
    if points is not None and list(points.names) != list(listed.names):
        raise InputError(f"{path}: lists other images than {protocol.files[0]}, or in another order")
    uris = find_faces(listed.names, data.roots)
    reader, faces = ImageByteReader(), None
    if points is not None:
        faces = PointedFaces(listed.names, uris, points.points, reader)
    return TemplateTest(
        faces or StoredFaces(listed.names, uris, reader),
        listed.template,
        listed.media,
        None if points is None else points.score,
    )


def measure_template_pairs(
    protocol: NamedProtocol, test: TemplateTest, model: TestedModel, data: ProtocolData, progress: Progress
) -> ProtocolFigures:
    """IJB 1:1."""
    path = data.require(protocol, protocol.files[1])
    first, second, same = read_template_pairs(path)
    templates = test.pool(protocol, model, progress)
    rows = [templates.rows(side, named=path.name) for side in (first, second)]
    return verify_templates(
        listed_scores(templates.vectors, *rows),
        same,
        *rows,
        fars=protocol.rates,
        nearest=protocol.as_insightface,
        samples=min(_FEW, data.config.evaluate.bootstrap),
        seed=data.config.seed,
    )


def measure_template_search(
    protocol: NamedProtocol, test: TemplateTest, model: TestedModel, data: ProtocolData, progress: Progress
) -> ProtocolFigures:
    """IJB 1:N."""
    *galleries, probe_list = [(path, read_search_list(path)) for path in _search_files(protocol, data)]
    templates = test.pool(protocol, model, progress)
    parts = [(templates.vectors[templates.rows(one.template, named=path.name)], one.subject) for path, one in galleries]
    probes = templates.vectors[templates.rows(probe_list[1].template, named=probe_list[0].name)]
    person = probe_list[1].subject
    if protocol.as_insightface:
        joined = (np.concatenate(side) for side in zip(*parts, strict=True))
        return identify_as_insightface(probes, person, *joined, ranks=protocol.ranks, fpirs=protocol.rates)
    return identify(
        [search_gallery(probes, person, *part) for part in parts],
        ranks=protocol.ranks,
        fpirs=protocol.rates,
        samples=data.config.evaluate.bootstrap,
        seed=data.config.seed,
    )


def _search_files(protocol: NamedProtocol, data: ProtocolData) -> list[Any]:
    return [data.require(protocol, group) for group in protocol.files[1:-1]]


def measure_distractors(
    protocol: NamedProtocol, model: TestedModel, data: ProtocolData, progress: Progress
) -> ProtocolFigures:
    """MegaFace."""
    probes, people = read_listed_people(data.require(protocol, protocol.files[0]))
    distractors = read_image_list(data.require(protocol, protocol.files[1]))
    noise = [read_noise_list(data.require(protocol, group)) for group in protocol.files[2:]] or [set(), set()]
    noisy = np.array([is_noisy(name, noise[0]) for name in probes])
    kept = distractors if not noise[1] else [name for name in distractors if not is_noisy(name, noise[1])]
    unseen, others = data.trained.unseen(probes, people), data.trained.unseen(kept)
    chosen = unseen if protocol.as_insightface else unseen & ~noisy
    if not chosen.any():
        raise InputError(f"{protocol.name}: no probe is left; all are noise or of people of the training set")
    left_out = {
        "noisy probes": int(noisy.sum()),
        "noisy distractors": len(distractors) - len(kept),
        **_left_out(data, probes_of_people=len(probes) - int(unseen.sum()), distractors=len(kept) - int(others.sum())),
    }
    person = number_people(_those(people, chosen))
    faces, strangers = (
        _vectors(listed, model, data, progress) for listed in (_those(probes, chosen), _those(kept, others))
    )
    if protocol.as_insightface:
        faces = replace_noise_as_insightface(faces, person, noisy[chosen], seed=data.config.seed)
    rates = DistractorRates(protocol.ranks, protocol.rates, min(_FEW, data.config.evaluate.bootstrap), data.config.seed)
    device = default_device().type
    found = search_among_distractors(faces, person, strangers, rates, device=device, progress=progress)
    return ProtocolFigures(found.figures, found.refused, {**found.counts, **left_out}, found.drawn_over)


def measure_all_pairs(
    protocol: NamedProtocol, model: TestedModel, data: ProtocolData, progress: Progress
) -> ProtocolFigures:
    """Trillion Pairs: a table of images and labels, in which an empty label is that of a distractor."""
    table = read_samples(data.require(protocol, protocol.files[0]), empty_labels=True)
    labels = [label or "" for label in table["label"].to_pylist()]
    names = table["sample_id"].to_pylist()
    labeled = np.array([bool(label) for label in labels])
    if not labeled.any():
        raise InputError(f"{protocol.name}: no row has a label; only distractors have none")
    known, people, others = _those(names, labeled), _those(labels, labeled), _those(names, ~labeled)
    unseen, new = data.trained.unseen(known, people), data.trained.unseen(others)
    if not unseen.any():
        raise InputError(f"{protocol.name}: all people are in the training set")
    person = number_people(_those(people, unseen))
    faces = _vectors(_those(known, unseen), model, data, progress)
    distractors = _vectors(_those(others, new), model, data, progress) if new.any() else None
    rates = AllPairsRates(protocol.rates, samples=min(_FEW, data.config.evaluate.bootstrap), seed=data.config.seed)
    found = verify_all_pairs(faces, person, distractors, rates, device=default_device().type, progress=progress)
    left_out = _left_out(data, faces_of_people=int((~unseen).sum()), distractors=int((~new).sum()))
    return ProtocolFigures(found.figures, found.refused, {**found.counts, **left_out}, found.drawn_over)


def _those(values: Sequence[str], chosen: npt.NDArray[np.bool_]) -> list[str]:
    return [value for value, taken in zip(values, chosen, strict=True) if taken]


def _left_out(data: ProtocolData, **counts: int) -> dict[str, int]:
    """Counts of what the training set has taken away, by what it was; nothing if the training set isn't known."""
    if data.trained.manifest is None:
        return {}
    return {f"{what}_trained_on_left_out": count for what, count in counts.items()}


def _vectors(names: list[str], model: TestedModel, data: ProtocolData, progress: Progress) -> Vectors:
    """Unit embeddings float32 of stored images."""
    uris = find_faces(names, data.roots)
    faces = StoredFaces(names, uris, ImageByteReader())
    vectors = model.vectors(faces, Wanted(flip=data.config.embed.flip), progress)
    return unit_rows(np.asarray(vectors, np.float64)).astype(np.float32)
