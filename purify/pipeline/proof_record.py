"""The record of a proof, ``proof.json``: every finished cell, their comparison, and what weakens it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from purify.config import PurifyConfig
from purify.errors import InputError
from purify.evaluation.people import people_of
from purify.evaluation.proof_table import compare_cells
from purify.pipeline.proof_cells import ProofSeed
from purify.pipeline.proof_plan import Cell, ProofPlan, comparisons
from purify.storage.files import read_json
from purify.tables.pairs import Pairs

#: Version of the form of ``proof.json``.
PROOF_FORMAT = 1
_DETECTION = ("precision", "recall", "f1", "clean_kept", "residual_noise", "n_removed", "noise_share")
_FEW_SEEDS = 3


@dataclass(frozen=True)
class Proof:
    """A proof: its `source`, what its cells share, and its `seeds`.

    `pairs` are those of people unseen in training, `pair_counts` the numbers of pairs left out; None without a file.
    """

    source: str
    manifest: Path
    config: PurifyConfig
    plan: ProofPlan
    cells: Sequence[Cell]
    seeds: Sequence[ProofSeed]
    pairs: Pairs | None
    pair_counts: Mapping[str, Any] | None


def proof_record(proof: Proof) -> dict[str, Any]:
    """Collect the finished cells, and compare them; InputError if there is none."""
    records = _finished(proof)
    if not records:
        raise InputError(f"{proof.manifest.parent.parent}: no cell is finished yet; start the proof without --so-far")
    compared = _compared(proof, records)
    cells = [
        {
            "name": cell.name,
            "title": cell.title,
            "images": cell.kind.value,
            "n_train": _mean([record.get("n_train") for record in records[cell.name].values()]),
            "detection": _detection(list(records[cell.name].values())),
            **compared.get("cells", {}).get(cell.name, {"seeds": sorted(records[cell.name])}),
            "records": [records[cell.name][seed] for seed in sorted(records[cell.name])],
        }
        for cell in proof.cells
        if cell.name in records
    ]
    return {
        "format": PROOF_FORMAT,
        "source": proof.source,
        "seeds": list(proof.plan.seeds),
        "config": proof.config.model_dump(mode="json"),
        "pairs": proof.pair_counts,
        "cells": cells,
        "open": [f"{cell.name}, seed {seed}" for cell, seed in _open(proof, records)],
        "differences": compared.get("differences", {}),
        "gap_reason": compared.get("gap_reason"),
        "refused": compared.get("refused", {}),
        "notes": _notes(proof, compared, records),
    }


def _finished(proof: Proof) -> dict[str, dict[int, dict[str, Any]]]:
    """Cell -> seed -> record; without cells of other settings, which are to be made anew."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for cell in proof.cells:
        for seed in proof.seeds:
            path = seed.record_file(cell)
            record = read_json(path) if path.is_file() else {}
            scored = proof.pairs is None or "sha256" in record
            if record and scored and record["config"] == seed.settings(cell):
                found.setdefault(cell.name, {})[seed.config.seed] = record
    return found


def _open(proof: Proof, records: Mapping[str, Mapping[int, Any]]) -> list[tuple[Cell, int]]:
    pairs = [(cell, seed.config.seed) for cell in proof.cells for seed in proof.seeds]
    return [(cell, seed) for cell, seed in pairs if seed not in records.get(cell.name, {})]


def _compared(proof: Proof, records: Mapping[str, Mapping[int, Any]]) -> dict[str, Any]:
    if proof.pairs is None:
        return {}
    scores = {
        cell.name: {
            seed.config.seed: seed.known_scores(cell) for seed in proof.seeds if seed.config.seed in records[cell.name]
        }
        for cell in proof.cells
        if cell.name in records
    }
    return compare_cells(
        scores,
        proof.pairs.same,
        proof.pairs.fold,
        people_of(proof.pairs),
        seeds=proof.plan.seeds,
        pairs_of_cells=comparisons(proof.cells),
        bootstrap=proof.config.evaluate.bootstrap,
        seed=proof.config.seed,
    )


def _detection(records: Sequence[Mapping[str, Any]]) -> dict[str, float | None] | None:
    """Figures of the verdicts, the mean over the seeds."""
    found = [record["detection"] for record in records if record.get("detection")]
    return {name: _mean([figures[name] for figures in found]) for name in _DETECTION} if found else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _notes(proof: Proof, compared: Mapping[str, Any], records: Mapping[str, Mapping[int, Any]]) -> list[str]:
    """What weakens the table, in sentences."""
    notes = []
    if _open(proof, records):
        notes.append(f"{len(_open(proof, records))} trainings are not done yet; the same command goes on with them")
    if proof.pairs is None:
        notes.append("without verification pairs (--pairs), nothing but the verdicts is measured")
    if len(proof.seeds) < _FEW_SEEDS:
        notes.append(
            f"{len(proof.seeds)} training seed{'s tell' if len(proof.seeds) > 1 else ' tells'} little about the spread "
            "between trainings; the paper's table has one"
        )
    if reason := compared.get("gap_reason"):
        notes.append(f"no share of a gap closed is given: {reason}")
    above = [
        cell
        for cell, figures in compared.get("cells", {}).items()
        if figures["gap_closed"] and figures["gap_closed"]["value"] > 1
    ]
    if above:
        notes.append(
            f"a gap closed of more than 100 % ({', '.join(above)}) does not mean cleaner than clean: the oracle only "
            "drops wrong labels, while a rule may give them their right one, and the gap is small beside the spread of "
            "people and seeds; where its interval reaches below 100 %, it is not distinguishable from the oracle"
        )
    return notes
