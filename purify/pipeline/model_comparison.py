"""Verification of a run's models on pairs of people unseen in training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from purify.config import EvaluateConfig, ExtractorConfig, PurifyConfig
from purify.embedding.extract import embed_images
from purify.embedding.extractors import open_extractor
from purify.errors import InputError
from purify.evaluation.gain import compare_models
from purify.evaluation.people import people_of
from purify.evaluation.unseen_pairs import exclude_training
from purify.ingest.image_roots import ImageRoots
from purify.models.checkpoint import load_checkpoint
from purify.pipeline.pair_images import PAIR_CROPS, Images, pair_images
from purify.pipeline.seen_images import MOST_DECODED, seen_in_training, shared_by_face
from purify.progress import Progress, silent
from purify.storage.files import write_json
from purify.storage.locations import Location, to_location
from purify.tables.manifest import ok_rows
from purify.tables.pairs import Pairs, read_pairs


def usable_pairs(
    pairs_file: Location,
    roots: ImageRoots,
    manifest: pa.Table,
    config: EvaluateConfig,
    *,
    pixels: bool = True,
    names: Iterable[str] | None = None,
) -> tuple[Pairs, dict[str, Any]]:
    """Verification pairs of people unseen in training, and the numbers of pairs left out.

    `names` are those of all images, by default in the `roots`. Without `pixels`, copies in another form go unnoticed,
    and no image is decoded.
    """
    pairs = read_pairs(pairs_file, roots.names() if names is None else names, prefix=config.pairs_prefix)
    rows = ok_rows(manifest)
    left, counts = exclude_training(
        pairs,
        sample_ids=rows["sample_id"].to_pylist(),
        labels=rows["label"].unique().to_pylist(),
        seen=seen_in_training(sorted({*pairs.a, *pairs.b}), roots, rows, pixels=pixels),
        faces=shared_by_face(to_location(config.overlap)) if config.overlap else (),
    )
    return left, counts | {"pixels_compared": pixels and len(rows) <= MOST_DECODED}


def pair_scores(
    pairs: Pairs, roots: Images, checkpoint_folder: Path, config: PurifyConfig, *, shards: Path
) -> npt.NDArray[np.float64]:
    """Cosine of each pair under a checkpoint's backbone."""
    names = sorted({*pairs.a, *pairs.b})
    uris = [roots.resolve(name) for name in names]
    missing = [name for name, uri in zip(names, uris, strict=True) if uri is None]
    if missing:
        raise InputError(f"pairs: {len(missing)} images are in no image root, such as {missing[0]}")
    extractor = ExtractorConfig()
    parts = embed_images(
        checkpoint_folder,
        names,
        [u for u in uris if u],
        config.embed,
        shards=shards,
        extractor=extractor,
        precision=open_extractor(
            checkpoint_folder, extractor, precision=config.train.precision, flip=config.embed.flip
        ).precision,
    )
    vectors = np.concatenate(list(parts)).astype(np.float64)
    position = {name: i for i, name in enumerate(names)}
    a = vectors[[position[name] for name in pairs.a]]
    b = vectors[[position[name] for name in pairs.b]]
    return np.einsum("pd,pd->p", a, b)


def evaluate_models(
    models: Mapping[str, Path],
    pairs_file: Location,
    images: Sequence[Location],
    manifest: pa.Table,
    config: PurifyConfig,
    out: Path,
    *,
    progress: Progress = silent,
) -> None:
    """Verify each model (name -> checkpoint folder) on pairs of unseen people; writes the JSON file `out`.

    Photos are aligned beside it first where the models learned from aligned faces (`pair_images`).
    """
    roots = ImageRoots(images)
    pairs, counts = usable_pairs(pairs_file, roots, manifest, config.evaluate)
    faces = pair_images(pairs, roots, manifest, config, out.with_name(PAIR_CROPS), progress=progress)
    pairs, counts = faces.usable(pairs, counts)
    scores, n_train = {}, {}
    for done, (name, folder) in enumerate(models.items()):
        progress(done, len(models), name)
        scores[name] = pair_scores(pairs, faces, folder, config, shards=out.with_name("pairs.shards"))
        n_train[name] = int(load_checkpoint(folder).extra["images"])
    result = compare_models(
        scores,
        pairs.same,
        pairs.fold,
        n_train,
        bootstrap=config.evaluate.bootstrap,
        seed=config.seed,
        people=people_of(pairs),
    )
    write_json(out, {"pairs": counts, **result})
    progress(len(models), len(models))
