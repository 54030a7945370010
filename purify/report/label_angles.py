"""Angles to the dominant sub-center by group, and the removals of each rule over them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from purify.report.known_truth import at_dominant, label_truth
from purify.report.sweeps import Sweep, angle_settings, sweep_official, sweep_paper, sweep_precision
from purify.tables.schema import Decision, Reason

Degrees = npt.NDArray[np.float32]


def angle_groups(manifest: pa.Table, verdicts: pa.Table) -> dict[str, Degrees]:
    """Angles in degrees to the dominant sub-center of right and wrong labels; kept and not kept ones without truth."""
    degrees = _degrees(verdicts)
    return {name: degrees[mask] for name, mask in group_masks(manifest, verdicts).items()}


def group_masks(manifest: pa.Table, verdicts: pa.Table) -> dict[str, npt.NDArray[np.bool_]]:
    """Masks of the verdicts in the groups of `angle_groups`, without empty groups."""
    truth = label_truth(manifest, verdicts)
    if truth is None:
        kept = verdicts["decision"].to_numpy() == Decision.KEEP.value
        masks = {"kept": kept, "not kept": ~kept}
    else:
        masks = {
            "label right": truth.known & ~truth.wrong,
            "label wrong": truth.known & truth.wrong,
            "truth not known": ~truth.known,
        }
    return {name: mask for name, mask in masks.items() if mask.any()}


def label_angle_groups(
    manifest: pa.Table, verdicts: pa.Table, rows: Mapping[str, npt.NDArray[np.int64]]
) -> dict[str, dict[str, Degrees]]:
    """`angle_groups` of each label; ``rows[label]`` are the places of its verdicts."""
    degrees, masks = _degrees(verdicts), group_masks(manifest, verdicts)
    return {
        label: {name: degrees[own[mask[own]]] for name, mask in masks.items() if mask[own].any()}
        for label, own in rows.items()
    }


def subcenter_groups(verdicts: pa.Table) -> dict[str, Degrees]:
    """Angles in degrees to the dominant sub-center of images nearest to it and of images nearest to another."""
    degrees, dominant = _degrees(verdicts), at_dominant(verdicts)
    groups = {"dominant sub-center": degrees[dominant], "another sub-center": degrees[~dominant]}
    return {name: values for name, values in groups.items() if len(values)}


def label_numbers(verdicts: pa.Table) -> npt.NDArray[np.int64]:
    """Number of each verdict's label, from 0."""
    return verdicts["label"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)


def angle_sweeps(manifest: pa.Table, verdicts: pa.Table, *, calibrated: bool) -> dict[str, Sweep]:
    """Removals of the rules `official` and `paper` at every angle."""
    degrees = _degrees(verdicts).astype(np.float64)
    at, truth = angle_settings(degrees), label_truth(manifest, verdicts)
    p_clean = verdicts["p_clean"].to_numpy().astype(np.float64) if calibrated else None
    return {
        "official": sweep_official(degrees, at, p_clean=p_clean, truth=truth),
        "paper": sweep_paper(degrees, at_dominant(verdicts), at, p_clean=p_clean, truth=truth),
    }


def precision_settings(manifest: pa.Table, verdicts: pa.Table) -> Sweep:
    """Removals of the rule `calibrated` at every precision that the data support."""
    always = verdicts["reason"].to_numpy() == Reason.SECOND_IDENTITY.value
    p_clean = verdicts["p_clean"].to_numpy().astype(np.float64)
    return sweep_precision(p_clean, always, truth=label_truth(manifest, verdicts))


def _degrees(verdicts: pa.Table) -> Degrees:
    return verdicts["angle_dominant"].to_numpy().astype(np.float32)
