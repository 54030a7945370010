"""Models under the field's protocols: several of both at once, into one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from purify.config import PurifyConfig
from purify.errors import InputError
from purify.evaluation.protocols.named import Family, NamedProtocol, find_protocol
from purify.evaluation.protocols.protocol_figures import ProtocolFigures, paired_differences
from purify.ingest.image_roots import ImageRoots
from purify.pipeline import protocol_pairs, protocol_sets
from purify.pipeline.protocol_data import ProtocolData, find_file, require_file
from purify.pipeline.protocol_models import TestedModel, given_names, open_model
from purify.pipeline.trained_images import TrainedImages
from purify.progress import Progress, silent
from purify.report.verification_rows import model_pairs
from purify.storage.files import write_json
from purify.storage.locations import Location, to_location
from purify.storage.run_record import read_protocols

#: Measures one model, once the data have been read.
Measure = Callable[[TestedModel], ProtocolFigures]
_SIMPLE = {
    Family.DISTRACTORS: protocol_sets.measure_distractors,
    Family.ALL_PAIRS: protocol_sets.measure_all_pairs,
    Family.PEOPLE: protocol_pairs.measure_people,
}
_TEMPLATES = {
    Family.TEMPLATE_PAIRS: protocol_sets.measure_template_pairs,
    Family.TEMPLATE_SEARCH: protocol_sets.measure_template_search,
}


def evaluate_protocols(
    models: Mapping[str, Path],
    names: Sequence[str],
    places: Sequence[Location],
    config: PurifyConfig,
    out: Path,
    *,
    images: Sequence[Location] = (),
    manifest: pa.Table | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure each of `models` (name -> checkpoint, ONNX file, weights or embeddings) under each protocol.

    The files of the protocols are found by their usual names among `places`, files or folders. With the `manifest` of
    the training set, pairs of people or images in it are left out where the protocol names them. Writes the JSON file
    `out` and returns its content. InputError if a protocol is unknown or its files are missing or unusable.
    """
    if not models:
        raise InputError("no model to measure; give --model NAME=FILE")
    protocols = [find_protocol(name) for name in names]
    roots = ImageRoots(images)
    opened = {name: open_model(path, config) for name, path in models.items()}
    embedded = () if roots.roots else given_names(opened.values())
    data = ProtocolData(places, roots, config, TrainedImages(roots, manifest), embedded)
    pair_tests = protocol_pairs.PairTests(data)
    steps, done, results = len(protocols) * len(opened), 0, {}
    for protocol in protocols:
        measure, counts = _prepare(protocol, data, pair_tests)
        figures = {}
        for name, model in opened.items():
            progress(done, steps, f"{protocol.name}: {name}")
            figures[name] = measure(model)
            done += 1
        results[protocol.name] = {
            **_described(protocol),
            "read": dict(counts),
            "models": {name: measured.to_json() for name, measured in figures.items()},
            "differences": [
                {"this": this, "that": that, "figures": paired_differences(figures[this], figures[that])}
                for this, that in model_pairs(figures)
            ],
        }
    progress(steps, steps)
    content = {"protocols": results, "order": [protocol.name for protocol in protocols]}
    write_json(out, content)
    return read_protocols(out)


def check_protocols(config: PurifyConfig) -> None:
    """Refuse unknown protocols and missing files before any training."""
    protocol_files(config.evaluate.protocols, [to_location(place) for place in config.evaluate.data])


def protocol_files(names: Sequence[str], places: Sequence[Location]) -> list[Location]:
    """All files that the protocols read; InputError if a protocol is unknown or lacks one."""
    found = []
    for protocol in map(find_protocol, names):
        optional = protocol.files[-1:] if protocol.family in _TEMPLATES else ()
        for group in protocol.files or ("",):
            place = find_file(protocol, group, places)
            if place is None and group not in optional:
                place = require_file(protocol, group, places)
            found += [] if place is None else [place]
    return list(dict.fromkeys(found))


def _prepare(
    protocol: NamedProtocol, data: ProtocolData, pair_tests: protocol_pairs.PairTests
) -> tuple[Measure, Mapping[str, Any]]:
    """What measures a model under a protocol, and the counts of what was read and left out."""
    if protocol.family in _SIMPLE:
        simple = _SIMPLE[protocol.family]
        return (lambda model: simple(protocol, model, data, silent)), {}
    if protocol.family in _TEMPLATES:
        templates, measure = protocol_sets.read_template_test(protocol, data), _TEMPLATES[protocol.family]
        counts = {"images": len(templates.template), "training_set_ignored": data.trained.manifest is not None}
        return (lambda model: measure(protocol, templates, model, data, silent)), counts
    pairs = pair_tests.read(protocol)
    return (lambda model: protocol_pairs.measure_pairs(protocol, pairs, model, data, silent)), pairs.counts


def _described(protocol: NamedProtocol) -> dict[str, Any]:
    pooled = protocol.family in _TEMPLATES
    return {
        "published": protocol.published,
        "left_open": protocol.left_open,
        "variant": "InsightFace's scripts" if protocol.as_insightface else "strict",
        "pooling": protocol.pooling.code if pooled else None,
        "masks": protocol.masks.value,
        "expected_pairs": protocol.pairs,
    }
