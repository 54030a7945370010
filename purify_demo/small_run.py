"""A finished run of the demo set in seconds, with drawn embeddings in place of a trained model's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from purify.config import IngestConfig, PurifyConfig
from purify.embedding.store import EmbeddingWriter
from purify.errors import InputError
from purify.ingest.ingest import ingest
from purify.pipeline.cleaned_tables import apply_files
from purify.pipeline.manifest_analysis import analyze_manifest
from purify.storage.files import write_table
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import load_manifest
from purify_demo import DemoSpec, write_demo
from purify_demo.plan import Kind, Picture, plan_set

#: Twenty people, some 500 pictures, drawn in about ten seconds.
SMALL = DemoSpec(identities=20, mean_images=24, most_images=40, broken=4, held_out=4, held_out_images=3, pairs=20)
_DIM = 64
#: Length of an image's own component, next to 1 for its person; the angles resemble those of a good extractor.
_OWN = 0.75
_SAVED_AGAIN = 0.03
_PLACES = (Path("runs"), Path("../runs"))
_SMALL_RUN = "demo-small"


def run_to_look_at(named: str | None) -> Path:
    """Folder of the run `named`; without a name, the newest demo run in ``runs`` or a small one made there.

    Making the small one takes about 15 seconds, once (`small_demo_run`).

    Raises
    ------
    InputError
        If the named folder holds no verdicts.
    """
    if named:
        if not RunFolder(Path(named)).verdicts.exists():
            raise InputError(f"{named}: holds no verdicts; give the folder of a finished run")
        return Path(named)
    found = [path.parent for place in _PLACES for path in place.glob("demo-*/run.json")]
    finished = [path for path in found if RunFolder(path).verdicts.exists()]
    if finished:
        return max(finished, key=lambda path: (path / "run.json").stat().st_mtime)
    place = next((place for place in _PLACES if place.is_dir()), _PLACES[-1])
    return small_demo_run(place / _SMALL_RUN).root


def small_demo_run(folder: Path, *, seed: int = 0) -> RunFolder:
    """Make a run in `folder`, unless it holds one already.

    The images are a small demo set. The embeddings are random: one direction for each person plus a component of
    each image's own, like those of a good extractor. The run illustrates the form of runs, not the quality of any
    extractor; ``make run`` trains one.
    """
    run = RunFolder(folder)
    if run.cleaned.exists():
        return run
    folder.mkdir(parents=True, exist_ok=True)
    demo = write_demo(folder / "demo-data", seed=seed, spec=SMALL)
    config = PurifyConfig(seed=seed)
    write_table(ingest(demo.table, [demo.images], IngestConfig()), run.manifest)
    first = run.round(1)
    pictures = plan_set(SMALL, seed)
    with EmbeddingWriter(first.embeddings, _DIM) as writer:
        writer.write([picture.path for picture in pictures], _drawn(pictures, seed))
    manifest = load_manifest(run.manifest)
    analysis = analyze_manifest(manifest, first.embeddings, config)
    write_table(analysis.verdicts, first.verdicts)
    write_table(analysis.class_report, first.class_report)
    run.update_info(source="the demo set, small; embeddings drawn, not trained", seed=seed, config=config.model_dump())
    apply_files(manifest, first.verdicts, folder)
    return run


def _drawn(pictures: Sequence[Picture], seed: int) -> npt.NDArray[np.float32]:
    """Random vectors ``[N, 64]``, similar for images of one person."""
    return np.stack(list(_vectors(pictures, seed))).astype(np.float32)


def _vectors(pictures: Sequence[Picture], seed: int) -> Iterator[npt.NDArray[np.float64]]:
    for picture in pictures:
        own = _direction(seed, 1, picture.shot)
        if picture.kind in (Kind.NON_FACE, Kind.BROKEN):
            yield own
            continue
        again = _SAVED_AGAIN * _direction(seed, 2, *picture.path.encode()) if picture.kind is Kind.NEAR_DUPLICATE else 0
        yield _direction(seed, 3, picture.person) + _OWN * own + again


def _direction(*numbers: int) -> npt.NDArray[np.float64]:
    vector = np.random.default_rng(numbers).standard_normal(_DIM)
    return vector / np.linalg.norm(vector)
