"""Faces from a network: targets in; PNG files, a grid and ``inversions.parquet`` out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from purify.config import PurifyConfig
from purify.embedding.backbone import Extractor
from purify.embedding.embedding_files import EmbeddingFiles
from purify.embedding.extractors import model_file, open_network
from purify.embedding.store import read_embeddings
from purify.errors import InputError
from purify.inversion.objective import cosines_of
from purify.inversion.targets import NEAREST, Target, TargetSpace, plan_batches
from purify.models.heads import SubcenterHead
from purify.models.precision import default_device, resolve_precision
from purify.pipeline.inversion_work import Reconstruction, discard_work, invert_batches
from purify.progress import Progress, silent
from purify.report.reconstructions import GRID, TABLE, grid_file, png_file
from purify.storage.files import open_parquet, read_table, sha256_file, write_bytes, write_table
from purify.storage.hashes import sha256_json
from purify.tables.schema import INVERSIONS
from purify.version import __version__

_IMAGES = "images"
#: Metadata key of the table: all that decides the images.
_MADE_FROM = b"purify.inverted_with"


@dataclass(frozen=True)
class InversionRequest:
    """Which network, and what its images shall stand for.

    Attributes
    ----------
    network
        Checkpoint folder, or file of weights.
    space
        Its classes, or given embeddings.
    targets
        In the order of the table.
    """

    network: Path
    space: TargetSpace
    targets: Sequence[Target]

    def key(self, config: PurifyConfig) -> str:
        """Hash of all that decides the files."""
        device = default_device()
        vectors = {name: hashlib.sha256(vector.tobytes()).hexdigest() for name, vector in self.space.vectors.items()}
        return sha256_json(
            {
                "network": sha256_file(model_file(self.network)),
                "size": self.space.checkpoint.input_size,
                "targets": [[target.kind, target.label, target.subcenter] for target in self.targets],
                "vectors": vectors,
                "recipe": config.invert.recipe(),
                "watermark": config.invert.watermark,
                "seed": config.seed,
                "flip": config.embed.flip,
                "device": device.type,
                "dtype": str(
                    resolve_precision(config.invert.precision, device, backbone=self.space.checkpoint.backbone_name)
                ),
            }
        )


def label_targets(network: Path, labels: Sequence[str], split: Sequence[str] = ()) -> InversionRequest:
    """Targets for the classes `labels`, and for each sub-center of the classes `split`.

    InputError for an unknown label, or weights without labels.
    """
    space = TargetSpace(open_network(network))
    if not space.checkpoint.labels:
        raise InputError(f"{network}: has weights but no labels; give --embeddings that this network made")
    named = space.labels(dict.fromkeys(labels), each_subcenter=False)
    return InversionRequest(network, space, [*named, *space.labels(dict.fromkeys(split), each_subcenter=True)])


def embedding_targets(
    network: Path, embeddings: EmbeddingFiles, ids: Sequence[str], config: PurifyConfig
) -> InversionRequest:
    """Targets for embeddings that `network` made: those of `ids`, or all.

    InputError if an id is missing, or they are of another length than the network's.
    """
    checkpoint = open_network(network, config.extractor.input_size)
    names = list(dict.fromkeys(ids)) or embeddings.ids()
    vectors = read_embeddings(embeddings, names)
    if vectors.shape[1] != checkpoint.embedding_dim:
        raise InputError(
            f"{embeddings.place}: embeddings of length {vectors.shape[1]}, those of {network} have "
            f"{checkpoint.embedding_dim}: another network made them"
        )
    space = TargetSpace(checkpoint, dict(zip(names, vectors, strict=True)))
    return InversionRequest(network, space, space.embeddings())


def invert(request: InversionRequest, out: Path, config: PurifyConfig, *, progress: Progress = silent) -> pa.Table:
    """Invert all targets into the folder `out`; the table as written.

    After an interruption the same call goes on, and gives the same bytes on the same machine. A finished one is not
    repeated.

    Raises
    ------
    InputError
        If there is no target, or `out` holds the images of another request.
    """
    if not request.targets:
        raise InputError("nothing to invert: no target is given")
    if (finished := _finished(out, request.key(config))) is not None:
        return finished
    return replace_inversion(request, out, config, progress=progress)


def replace_inversion(
    request: InversionRequest, out: Path, config: PurifyConfig, *, progress: Progress = silent
) -> pa.Table:
    """Like `invert`, but over what is in `out`, which is only taken from states of this very request."""
    key = request.key(config)
    work = out / f"work-{key[:16]}"
    batches = plan_batches(request.targets, request.space, config.invert, seed=config.seed)
    made = invert_batches(request.space, batches, config.invert, seed=config.seed, work=work, progress=progress)
    table = _write(request, made, out, config, key)
    discard_work(work)
    return table


def _finished(out: Path, key: str) -> pa.Table | None:
    """The table of this very request, if it is there with all its images."""
    path = out / TABLE
    if not path.exists():
        return None
    with open_parquet(path) as file:
        found = (file.schema_arrow.metadata or {}).get(_MADE_FROM, b"").decode()
    if found != key:
        raise InputError(f"{path}: of another network, recipe or choice of targets; give another folder as --out")
    table = read_table(path, INVERSIONS)
    files = [GRID, *table["path"].to_pylist()]
    return table if all((out / name).is_file() for name in files) else None


def _write(
    request: InversionRequest, made: Sequence[Reconstruction], out: Path, config: PurifyConfig, key: str
) -> pa.Table:
    order = {target.name: number for number, target in enumerate(request.targets)}
    judge = _Judge(request.space, config)
    rows: dict[int, dict[str, Any]] = {}
    faces: dict[int, np.ndarray] = {}
    for number, batch in enumerate(made):
        for row in judge.rows(batch):
            place = order[row["target"]]
            rows[place] = {**row, "batch": number, "seed": config.seed, "path": f"{_IMAGES}/{place:06d}.png"}
            faces[place] = batch.pixels[row["row"]]
    network = sha256_file(model_file(request.network))
    for place, row in rows.items():
        about = {
            "Title": row["target"],
            "Software": f"purify {__version__}",
            "Source": f"network sha256 {network}, {row['kind']}, seed {config.seed}, cosine {row['cosine']:.4f}",
        }
        write_bytes(out / row["path"], png_file(faces[place], about=about, watermark=config.invert.watermark))
    ordered = [rows[place] for place in sorted(rows)]
    write_bytes(out / GRID, grid_file([faces[place] for place in sorted(rows)], watermark=config.invert.watermark))
    kept = [{name: row[name] for name in INVERSIONS.names} for row in ordered]
    schema = INVERSIONS.with_metadata({**INVERSIONS.metadata, _MADE_FROM: key.encode()})
    table = pa.Table.from_pylist(kept, schema=schema)
    write_table(table, out / TABLE)
    return table


class _Judge:
    """The network's own opinion of the finished images, embedded as `purify embed` does."""

    def __init__(self, space: TargetSpace, config: PurifyConfig) -> None:
        self._space = space
        self._extractor = Extractor(space.checkpoint, precision="float32", flip=config.embed.flip)
        self._head: SubcenterHead = space.checkpoint.build()[1].requires_grad_(False)

    def rows(self, made: Reconstruction) -> list[dict[str, Any]]:
        """Rows of the table for the kept targets of a batch, with their number ``row`` in it."""
        vectors = torch.from_numpy(self._extractor(made.pixels))
        cosines, subcenters = self._cosines(made, vectors)
        judged = self._judged(vectors)
        terms = {
            "identity_loss": made.terms.identity.tolist(),
            "total_variation_loss": made.terms.total_variation.tolist(),
            "norm_loss": made.terms.norm.tolist(),
        }
        return [
            {
                "row": row,
                "target": target.name,
                "kind": target.kind,
                "label": target.label if target.kind != "embedding" else None,
                "subcenter": subcenters[row],
                "cosine": cosines[row],
                "judged_label": judged[row],
                "batchnorm_loss": float(made.terms.batchnorm),
                **{name: values[row] for name, values in terms.items()},
            }
            for row, target in enumerate(made.batch.targets)
            if target.kept
        ]

    def _cosines(self, made: Reconstruction, vectors: torch.Tensor) -> tuple[list[float], list[int | None]]:
        """Cosine to each target, and its sub-center: for a whole class, the nearest."""
        targets = made.batch.targets
        if self._space.vectors:
            wanted = torch.from_numpy(np.stack([self._space.vectors[target.label] for target in targets]))
            return cosines_of(vectors, wanted).tolist(), [None] * len(targets)
        place = {label: number for number, label in enumerate(self._space.checkpoint.labels)}
        found: list[tuple[float, int]] = []
        for vector, target in zip(vectors, targets, strict=True):
            centers = self._head.weight[place[target.label]]
            to_each = cosines_of(vector.expand(len(centers), -1), centers)
            nearest = int(to_each.argmax()) if target.subcenter == NEAREST else target.subcenter
            found.append((float(to_each[nearest]), nearest))
        return [cosine for cosine, _ in found], [subcenter for _, subcenter in found]

    def _judged(self, vectors: torch.Tensor) -> list[str | None]:
        labels = self._space.checkpoint.labels
        if not labels:
            return [None] * len(vectors)
        return [labels[number] for number in self._head.cosines(vectors).argmax(dim=1).tolist()]
