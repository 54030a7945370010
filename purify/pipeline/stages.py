"""The stages on files: each reads what the stage before wrote, and writes one thing.

The command line and the flow both call these; what they compute lives in the packages that they import.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.projection import fit_subcenters
from purify.analysis.rules.registry import get_rule
from purify.analysis.subcenters import SubcenterSpace
from purify.analysis.verdicts import Analysis, analyze
from purify.arrays import Vectors
from purify.config import EmbedConfig, EvaluateConfig, ExtractorConfig, IngestConfig, PurifyConfig
from purify.embedding.blocks import RunBlocks, run_here
from purify.embedding.extract import embed_images
from purify.embedding.extractors import model_file, open_extractor
from purify.embedding.reuse import known_embeddings, merge
from purify.embedding.store import EmbeddingWriter, read_embeddings
from purify.errors import InputError
from purify.evaluation.gain import compare_models
from purify.evaluation.pairs import Pairs, exclude_training, read_pairs
from purify.ingest.image_roots import ImageRoots
from purify.ingest.ingest import ingest
from purify.models.checkpoint import load_checkpoint, restrict_labels
from purify.models.precision import Precision
from purify.pipeline.code_version import code_version
from purify.progress import Progress, silent
from purify.storage.files import read_table, sha256_file, write_json, write_table
from purify.storage.locations import Location
from purify.tables.apply import Purified, apply_verdicts
from purify.tables.reviews import count_reviews, merge_reviews, read_reviews, update_reviews
from purify.tables.schema import CLEANED, REMOVED, VERDICTS, Status


def ingest_source(
    source: Location, images: Sequence[Location], manifest: Path, config: IngestConfig, *, progress: Progress = silent
) -> None:
    """Read `source` into the manifest file."""
    write_table(ingest(source, images, config, progress=progress), manifest)


def ok_rows(manifest: pa.Table) -> pa.Table:
    """The rows of a manifest that hold a usable image."""
    return manifest.filter(pc.equal(manifest["status"], Status.OK.value))


def embed_manifest(
    manifest: pa.Table,
    model: Path,
    out: Path,
    config: EmbedConfig,
    *,
    extractor_config: ExtractorConfig | None = None,
    precision: Precision = "auto",
    workers: int = 0,
    run_blocks: RunBlocks = run_here,
    progress: Progress = silent,
) -> int:
    """Embed the ok rows of `manifest` with a checkpoint's folder or an extractor's file; writes the Parquet file `out`.

    Images that `out` has already, by the hash of their bytes and from the same model and settings, are not embedded
    again. If it has just these rows, it is left as it is. `extractor_config` says what a file leaves open; `run_blocks`
    decides who does it, and never what comes out.

    Returns
    -------
    int
        How many images were embedded.
    """
    rows = ok_rows(manifest)
    if rows["uri"].null_count:
        raise InputError("the manifest has rows without a uri; run `purify ingest` with the --images roots first")
    settings = extractor_config or ExtractorConfig()
    extractor = open_extractor(model, settings, precision=precision, flip=config.flip)
    made_with = _made_with(model, settings, config, extractor.precision)
    known = known_embeddings(out, made_with)
    if known is not None and known.covers(rows):
        return 0
    place = np.full(len(rows), -1) if known is None else known.place(rows)
    new = rows.filter(pa.array(place < 0))
    vectors = embed_images(
        model,
        new["sample_id"].to_pylist(),
        new["uri"].to_pylist(),
        config,
        shards=out.with_name(f"{out.stem}.shards"),
        contents=new["sha256"].to_pylist(),
        extractor=settings,
        precision=extractor.precision,
        decoders=workers,
        run_blocks=run_blocks,
        progress=progress,
    )
    if known is not None:
        vectors = merge(known, place, vectors, part=config.shard_size)
    _write_embeddings(out, rows, vectors, dim=extractor.dim, made_with=made_with)
    for folder in out.parent.glob(f"{out.stem}.shards-*"):  # also of lists of rows that were given up
        shutil.rmtree(folder)
    return len(new)


def _made_with(model: Path, settings: ExtractorConfig, config: EmbedConfig, precision: Precision) -> str:
    """What decides the embedding of an image, besides its bytes."""
    values = {
        "model": sha256_file(model_file(model)),
        "extractor": settings.model_dump(mode="json", exclude={"file"}),
        "flip": config.flip,
        "precision": precision,
        "code": code_version("embed"),
    }
    return json.dumps(values, sort_keys=True)


def _write_embeddings(out: Path, rows: pa.Table, parts: Iterable[Vectors], *, dim: int, made_with: str) -> None:
    with EmbeddingWriter(out, dim, made_with=made_with) as writer:
        start = 0
        for part in parts:
            keys = rows.slice(start, len(part))
            writer.write(keys["sample_id"].to_pylist(), part, keys["sha256"].to_pylist())
            start += len(part)


def analyze_manifest(
    manifest: pa.Table,
    embeddings: Location,
    config: PurifyConfig,
    *,
    checkpoint_folder: Path | None = None,
) -> Analysis:
    """Verdicts and class report of the ok rows.

    With a checkpoint, its head's sub-centers judge the embeddings. Without one, the embeddings are any
    extractor's, and a sub-center head on a light projection is fitted to them here.

    Raises
    ------
    CheckpointError
        If the checkpoint lacks a label of the manifest's. Its other labels don't count.
    """
    rule = get_rule(config.analyze.rule)
    rows = ok_rows(manifest)
    sample_ids, labels = rows["sample_id"].to_pylist(), rows["label"].to_pylist()
    originals = read_embeddings(embeddings, sample_ids)
    if checkpoint_folder is None:
        names, index = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
        class_labels = tuple(names.tolist())
        vectors, subcenters = fit_subcenters(
            originals,
            index.astype(np.int64),
            classes=len(class_labels),
            subcenters=config.train.subcenters,
            seed=config.seed,
        )
    else:
        checkpoint = restrict_labels(load_checkpoint(checkpoint_folder), labels, manifest="the manifest")
        class_labels, subcenters = checkpoint.labels, checkpoint.head_weight.numpy()
        vectors = originals
    return analyze(
        sample_ids,
        labels,
        originals,
        class_labels,
        config.analyze,
        space=SubcenterSpace(vectors, subcenters),
        rule=rule,
        seed=config.seed,
    )


def knows_labels(checkpoint_folder: Path, manifest: pa.Table) -> bool:
    """Whether a checkpoint's head has sub-centers of every label of the ok rows."""
    labels = set(ok_rows(manifest)["label"].unique().to_pylist())
    return labels <= set(load_checkpoint(checkpoint_folder).labels)


def adopt_reviews(given: Location, reviews: Path) -> None:
    """Merge the reviews in the file `given` into the file `reviews`, which needn't be there yet."""
    earlier = read_reviews(given)
    update_reviews(reviews, lambda present: merge_reviews(earlier, present))


def kept_rows(manifest: pa.Table, verdicts: Path, reviews: Path | None = None) -> pa.Table:
    """What a verdicts file keeps, after the reviews, under the final labels (schema `CLEANED`)."""
    return _purify(manifest, verdicts, reviews).cleaned


def apply_files(manifest: pa.Table, verdicts: Location, out: Path, *, reviews: Location | None = None) -> None:
    """Write ``cleaned``, ``removed`` and ``labels`` tables to the folder `out`."""
    purified = _purify(manifest, verdicts, reviews)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("cleaned", "removed", "labels"):
        write_table(getattr(purified, name), out / f"{name}.parquet")


def _purify(manifest: pa.Table, verdicts: Location, reviews: Location | None) -> Purified:
    decided = None if reviews is None else read_reviews(reviews)
    return apply_verdicts(manifest, read_table(verdicts, VERDICTS), decided)


def baseline_table(manifest: pa.Table, name: str, *, kept: int, seed: int) -> pa.Table:
    """What a baseline is trained on.

    ``raw``: everything; ``random``: `kept` rows drawn without looking; ``oracle``: the rows whose label is true.
    """
    rows = ok_rows(manifest)
    match name:
        case "raw":
            return rows
        case "random":
            chosen = np.random.default_rng([seed, 1]).choice(len(rows), size=min(kept, len(rows)), replace=False)
            return rows.take(pa.array(np.sort(chosen)))
        case "oracle":
            return rows.filter(pc.fill_null(pc.equal(rows["label"], rows["true_label"]), False))
    raise InputError(f"unknown baseline {name!r}; there are raw, random and oracle")


def has_truth(manifest: pa.Table) -> bool:
    """Whether the manifest says what the labels should have been."""
    return manifest["true_label"].null_count < len(manifest)


def usable_pairs(
    pairs_file: Location, roots: ImageRoots, manifest: pa.Table, config: EvaluateConfig
) -> tuple[Pairs, dict[str, Any]]:
    """Verification pairs of people that training did not see, and how many were left out."""
    pairs = read_pairs(pairs_file, roots.names(), prefix=config.pairs_prefix)
    rows = ok_rows(manifest)
    kept, counts = exclude_training(
        pairs, sample_ids=rows["sample_id"].to_pylist(), labels=rows["label"].unique().to_pylist()
    )
    return kept, counts


def pair_scores(
    pairs: Pairs, roots: ImageRoots, checkpoint_folder: Path, config: PurifyConfig, *, shards: Path
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
    """Verification of each model (name -> checkpoint folder) on pairs of unseen people; writes the JSON `out`."""
    roots = ImageRoots(images)
    pairs, counts = usable_pairs(pairs_file, roots, manifest, config.evaluate)
    scores, n_train = {}, {}
    for done, (name, folder) in enumerate(models.items()):
        progress(done, len(models), name)
        scores[name] = pair_scores(pairs, roots, folder, config, shards=out.with_name("pairs.shards"))
        n_train[name] = int(load_checkpoint(folder).extra["images"])
    result = compare_models(
        scores, pairs.same, pairs.fold, n_train, bootstrap=config.evaluate.bootstrap, seed=config.seed
    )
    write_json(out, {"pairs": counts, **result})
    progress(len(models), len(models))


def run_counts(manifest: pa.Table, cleaned: Path, removed: Path, *, reviews: Location | None = None) -> dict[str, int]:
    """Rows of each kind; they add up. With reviews, also how many samples these decided and how many are gone."""
    rows = ok_rows(manifest)
    ok = len(rows)
    kept = read_table(cleaned, CLEANED, columns=["sample_id"]).num_rows
    gone = read_table(removed, REMOVED, columns=["sample_id"]).num_rows
    counts = {"rows": len(manifest), "ok": ok, "not_ok": len(manifest) - ok, "cleaned": kept, "removed": gone}
    if reviews is not None:
        counts |= count_reviews(read_reviews(reviews), rows["sample_id"])
    return counts
