"""Embedding of a manifest into a file: known embeddings are kept, missing ones computed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from purify.arrays import Vectors
from purify.config import EmbedConfig, ExtractorConfig, PurifyConfig
from purify.embedding.blocks import RunBlocks, run_here
from purify.embedding.extract import SHARD, embed_images
from purify.embedding.extractors import model_file, open_extractor
from purify.embedding.reuse import known_embeddings, merge
from purify.embedding.store import EmbeddingWriter
from purify.errors import InputError
from purify.models.precision import Precision
from purify.pipeline.extractor_choice import AUTO, extractor_file, strongest
from purify.pipeline.fingerprint import made_with
from purify.progress import Progress, silent
from purify.storage.own_files import remove_work
from purify.tables.manifest import ok_rows


def own_extractor(number: int, config: PurifyConfig) -> Path | None:
    """The file of an extractor that is not trained here, for round 1 only; None without one."""
    return extractor_file(config) if number == 1 else None


def model_for(manifest: pa.Table, config: PurifyConfig) -> Path:
    """The file of the configured extractor; InputError if that is a network still to be trained."""
    choice = strongest(manifest, config) if config.extractor.name == AUTO else None
    file = extractor_file(choice.settle(config) if choice else config)
    if file is None:
        why = f" ({choice.why})" if choice else ""
        raise InputError(
            f"no extractor to embed with{why}; give --checkpoint of a trained network, or --extractor FILE"
        )
    return file


def embed_manifest(
    manifest: pa.Table,
    model: Path,
    out: Path,
    config: PurifyConfig,
    *,
    run_blocks: RunBlocks = run_here,
    progress: Progress = silent,
) -> int:
    """Embed the ok rows of `manifest` with a checkpoint's folder or an extractor's file; writes the Parquet file `out`.

    Images that `out` holds already, by the hash of their bytes and from the same model and settings, are not embedded
    again. A file with exactly these rows is left unchanged. The result doesn't depend on `run_blocks`.

    Returns
    -------
    int
        Number of embedded images.
    """
    rows = ok_rows(manifest)
    if rows["uri"].null_count:
        raise InputError("the manifest has rows without a uri; run `purify ingest` with the --images roots first")
    extractor = open_extractor(model, config.extractor, precision=config.train.precision, flip=config.embed.flip)
    origin = _origin(model, config.extractor, config.embed, extractor.precision)
    known = known_embeddings(out, origin)
    if known is not None and known.covers(rows):
        return 0
    place = np.full(len(rows), -1) if known is None else known.place(rows)
    new = rows.filter(pa.array(place < 0))
    vectors = embed_images(
        model,
        new["sample_id"].to_pylist(),
        new["uri"].to_pylist(),
        config.embed,
        shards=out.with_name(f"{out.stem}.shards"),
        contents=new["sha256"].to_pylist(),
        extractor=config.extractor,
        precision=extractor.precision,
        decoders=config.train.workers,
        run_blocks=run_blocks,
        progress=progress,
    )
    if known is not None:
        vectors = merge(known, place, vectors, part=config.embed.shard_size)
    _write_embeddings(out, rows, vectors, dim=extractor.dim, origin=origin)
    for folder in out.parent.glob(f"{out.stem}.shards-*"):  # also those of abandoned lists of rows
        remove_work(folder, SHARD)
    return len(new)


def _origin(model: Path, settings: ExtractorConfig, config: EmbedConfig, precision: Precision) -> str:
    """Fingerprint of the inputs of an embedding, besides the bytes of its image."""
    inputs = {
        "model": model_file(model),
        "extractor": settings.model_dump(mode="json", exclude={"name"}),
        "flip": config.flip,
        "precision": precision,
    }
    return made_with("embed", inputs)


def _write_embeddings(out: Path, rows: pa.Table, parts: Iterable[Vectors], *, dim: int, origin: str) -> None:
    with EmbeddingWriter(out, dim, made_with=origin) as writer:
        start = 0
        for part in parts:
            keys = rows.slice(start, len(part))
            writer.write(keys["sample_id"].to_pylist(), part, keys["sha256"].to_pylist())
            start += len(part)
