"""The proof: the paper's headline table on one's own data, cell by cell, for several seeds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from purify.config import PurifyConfig
from purify.config_places import with_full_places
from purify.errors import InputError
from purify.ingest.image_roots import ImageRoots
from purify.pipeline import extractor_choice, stages
from purify.pipeline.checks import image_roots
from purify.pipeline.cleaned_tables import has_truth
from purify.pipeline.embedding_stage import embed_manifest
from purify.pipeline.model_comparison import usable_pairs
from purify.pipeline.proof_cells import ProofSeed
from purify.pipeline.proof_plan import K3, OWN, Cell, Kind, ProofPlan, plan_cells, seeded
from purify.pipeline.proof_record import Proof, proof_record
from purify.pipeline.steps import Submit, threads, wait_for_all
from purify.progress import ProgressBoard, progress_board
from purify.report.proof_page import write_proof
from purify.storage.files import read_table, write_json, write_table
from purify.storage.locations import Location, absolute, to_location
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import load_truth, train_rows
from purify.tables.schema import MANIFEST
from purify.training.launcher import stop_running_jobs

_K3 = Cell(K3, "", Kind.SUBCENTERS)


def prove(
    source: str | Path | Location,
    out: Path,
    config: PurifyConfig,
    plan: ProofPlan,
    *,
    truth: Location | None = None,
    so_far: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train and measure the cells of the paper's headline table on `source`, and write the table to the folder `out`.

    A finished cell is kept, an interrupted one is resumed, also after a kill; the files ``proof.json``, ``proof.md``
    and ``proof.html`` are the same, byte for byte.

    Parameters
    ----------
    source
        As for `purify.run`; its column ``true_label``, if any, is the truth.
    out
        Folder of the proof.
    config
        All settings; ``evaluate.pairs`` are needed for verification, without which only verdicts are compared.
    plan
        Seeds, angles, cells.
    truth
        Table of ``path`` (or ``sample_id``) and ``true_label``, where the source has no truth itself.
    so_far
        Train nothing; write the table of the finished cells.
    progress
        Show progress on stderr.

    Returns
    -------
    dict
        The contents of ``proof.json``.

    Raises
    ------
    InputError
        If the input can't be used, the folder holds a proof of another source, or no cell is finished.
    """
    place = absolute(to_location(str(source)))
    data = RunFolder(out / "data")
    with data.lock(), progress_board(quiet=not progress) as board:
        _take_in(data, place, config, truth, board)
        proof = _planned(place, out, with_full_places(config), plan, board)
        if not so_far:
            with threads(plan.jobs) as submit:
                try:
                    _compute(proof, submit)
                finally:
                    stop_running_jobs()
        return write_proof(proof_record(proof), out)


def _take_in(data: RunFolder, place: str, config: PurifyConfig, truth: Location | None, board: ProgressBoard) -> None:
    """Ingest the source, once for all seeds, with the truth in its column ``true_label``."""
    before = data.read_info().get("source")
    if before not in (None, place):
        raise InputError(f"{data.root.parent}: this proof is of {before}, not of {place}; give another --out")
    stages.ingest(data, place, config, board, decode=True)
    data.update_info(source=place)
    if truth is not None:
        manifest, known = read_table(data.manifest, MANIFEST), load_truth(truth)
        found = pc.index_in(manifest["sample_id"].combine_chunks(), known["sample_id"].combine_chunks())
        if found.null_count == len(manifest):
            raise InputError(f"{truth}: it knows no sample of {place}; its ids must be those of the source")
        column, field = manifest.column_names.index("true_label"), manifest.schema.field("true_label")
        write_table(manifest.set_column(column, field, known["true_label"].take(found)), data.manifest)


def _compute(proof: Proof, submit: Submit) -> None:
    """All cells: first what needs no verdicts, then the verdicts, then what is trained on what they keep."""
    for seed in proof.seeds:
        seed.prepare(proof.manifest)
    free = [cell for cell in proof.cells if cell.kind in (Kind.RAW, Kind.TRUTH) and proof.pairs]
    rest = [cell for cell in proof.cells if cell.kind not in (Kind.RAW, Kind.TRUTH)]
    first = [submit(seed.train, _K3) for seed in proof.seeds] if rest else []
    early = [submit(_finish, proof, seed, cell) for seed in proof.seeds for cell in free]
    wait_for_all(first)
    if any(cell.needs_verdicts for cell in rest):
        wait_for_all([submit(seed.judge) for seed in proof.seeds])
    wait_for_all([*early, *(submit(_finish, proof, seed, cell) for seed in proof.seeds for cell in rest)])


def _finish(proof: Proof, seed: ProofSeed, cell: Cell) -> None:
    """One cell of one seed; without pairs, its verdicts alone."""
    seed.settle(cell)
    if proof.pairs is not None:
        seed.train(cell)
        seed.score(cell, proof.pairs)
    write_json(seed.record_file(cell), seed.record(cell, scored=proof.pairs is not None))


def _planned(place: str, out: Path, config: PurifyConfig, plan: ProofPlan, board: ProgressBoard) -> Proof:
    data = RunFolder(out / "data")
    manifest = read_table(data.manifest, MANIFEST)
    choice = extractor_choice.choose_extractor(data, manifest, config)
    data.update_info(extractor=asdict(choice))
    own = None if choice.name == extractor_choice.SCRATCH else choice.name
    cells = plan_cells(plan, config, truth=has_truth(manifest), extractor=own)
    images = image_roots(place, config, given_embeddings=False)
    pairs, counts = None, None
    if config.evaluate.pairs:
        roots = ImageRoots([to_location(root) for root in images])
        pairs, counts = usable_pairs(to_location(config.evaluate.pairs), roots, train_rows(manifest), config.evaluate)
    vectors = _own_embeddings(data, choice.settle(config), board) if OWN in {cell.name for cell in cells} else None
    seeds = [
        ProofSeed(
            run=RunFolder(out / f"seed-{seed}"),
            config=seeded(config, seed, jobs=plan.jobs),
            rounds=plan.rounds,
            own=vectors,
            images=images,
            board=board,
        )
        for seed in plan.seeds
    ]
    return Proof(place, data.manifest, config, plan, cells, seeds, pairs, counts)


def _own_embeddings(data: RunFolder, config: PurifyConfig, board: ProgressBoard) -> Path:
    """Embeddings by an extractor that is not trained here, which all seeds share."""
    model, path = extractor_choice.extractor_file(config), data.root / "embeddings.parquet"
    if model is not None:
        manifest, progress = read_table(data.manifest, MANIFEST), board.stage(f"embed by {config.extractor.name}")
        embed_manifest(manifest, model, path, config, progress=progress)
    return path
