"""After the first judging of aligned photos: of several faces, the one that agrees with the label's other photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.face_agreement import Agreement, agreeing_faces
from purify.config import PurifyConfig
from purify.embedding.blocks import RunBlocks, run_here
from purify.embedding.extractors import model_file
from purify.embedding.store import read_embeddings
from purify.pipeline.align_stage import CHOICES_FILE, align_run
from purify.pipeline.alignment import FACES_FILE
from purify.pipeline.embedding_stage import embed_manifest, own_extractor
from purify.pipeline.face_manifest import photo_of, several_faces
from purify.pipeline.fingerprint import made_with
from purify.progress import Progress, silent
from purify.storage.files import open_parquet, read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import ok_rows
from purify.tables.schema import FACE_CHOICES, FACES, MANIFEST, VERDICTS, Decision

_MADE_WITH = b"purify.chosen_with"
#: Embeddings of all faces of the photos that show several, in the folder of the crops.
CANDIDATES_FILE = "embeddings.parquet"


def choose_agreeing(
    run: RunFolder, config: PurifyConfig, *, run_blocks: RunBlocks = run_here, progress: Progress = silent
) -> bool:
    """Choose the faces of photos anew by their embeddings, and return whether the manifest changed.

    It is done once for the same photos and extractor: a resumed run keeps the choice.
    """
    if config.align.all_faces or not config.align.agreeing:
        return False
    photos, faces = read_table(run.photos, MANIFEST), read_table(run.crops / FACES_FILE, FACES)
    candidates = several_faces(photos, faces, run.crops, config.align)
    model = own_extractor(1, config) or run.round(1).checkpoint
    align = config.align.model_dump(mode="json", exclude={"workers"})
    inputs = {"photos": run.photos, "faces": run.crops / FACES_FILE, "model": model_file(model), "align": align}
    origin = made_with("align", inputs)
    if not len(candidates) or _chosen_with(run.crops / CHOICES_FILE) == origin:
        return False
    vectors = run.crops / CANDIDATES_FILE
    embed_manifest(candidates, model, vectors, config, run_blocks=run_blocks, progress=progress)
    choices = _choices(run, candidates, vectors)
    metadata = {**(FACE_CHOICES.metadata or {}), _MADE_WITH: origin.encode()}
    write_table(choices.replace_schema_metadata(metadata), run.crops / CHOICES_FILE)
    return align_run(run, config, run_blocks=run_blocks)


def _chosen_with(path: Path) -> str | None:
    if not path.exists():
        return None
    with open_parquet(path) as file:
        return (file.schema_arrow.metadata or {}).get(_MADE_WITH, b"").decode()


def _choices(run: RunFolder, candidates: pa.Table, vectors: Path) -> pa.Table:
    """The choices (schema `FACE_CHOICES`) among the faces of photos with several."""
    names = candidates["sample_id"].to_pylist()
    owners = pa.array([photo_of(name) for name in names], pa.string())
    manifest = ok_rows(read_table(run.manifest, MANIFEST))
    single = manifest.filter(pc.invert(pc.is_in(manifest["sample_id"], owners)))
    photos = pa.chunked_array([owners, *single["sample_id"].chunks], pa.string())
    labels = pa.chunked_array([*candidates["label"].chunks, *single["label"].chunks], pa.string())
    known = read_embeddings(run.round(1).embeddings, single["sample_id"].to_pylist())
    everyone = np.concatenate([read_embeddings(vectors, names), known])
    verdicts = read_table(run.round(1).verdicts, VERDICTS, columns=["sample_id", "decision"])
    dropped = verdicts.filter(pc.equal(verdicts["decision"], Decision.DROP.value))["sample_id"].combine_chunks()
    trusted = pc.or_(pc.is_in(photos, owners), pc.invert(pc.is_in(photos, dropped)))
    found = agreeing_faces(everyone, _numbers(photos), _numbers(labels), trusted.to_numpy().astype(bool))
    return pa.Table.from_pylist([_choice(one, candidates, names) for one in found], schema=FACE_CHOICES)


def _choice(one: Agreement, candidates: pa.Table, names: list[str]) -> dict[str, object]:
    crop = candidates["uri"][one.row].as_py().partition("::")[0]
    why = (
        f"agrees with {one.photos} other photos of its label (cosine {one.cosine:.2f}; of the largest and most central "
        f"face {one.cosine_first:.2f})"
    )
    return {
        "sample_id": names[one.first],
        "photo_sha256": candidates["photo_sha256"][one.row].as_py(),
        "face": int(crop.rpartition("-")[2].partition(".")[0]),
        "why": why,
    }


def _numbers(values: pa.ChunkedArray) -> np.ndarray:
    """A number for each distinct value."""
    whole = values.combine_chunks()
    return pc.index_in(whole, whole.unique()).to_numpy().astype(np.int64)
