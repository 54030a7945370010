"""Cells of a proof, each trained with several seeds, compared on the same pairs: figures, differences, gap closed.

The bootstrap has two levels: people (`purify.evaluation.people_bootstrap`), and seeds. Of S seeds it draws S - 1 with
replacement, so that the variance of a mean over seeds is not underestimated (Rao and Wu, 1988: with S draws it would be
short of 1/S, that is half of it for two seeds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from purify.evaluation.gain import finding
from purify.evaluation.intervals import interval
from purify.evaluation.pair_figures import observed_figures, refused_fars, resampled_figures
from purify.evaluation.people import People
from purify.evaluation.people_bootstrap import resample_people
from purify.evaluation.verification import Folds, Same, Scores

#: Cell -> seed -> cosines [P] of the pairs.
CellScores = Mapping[str, Mapping[int, Scores]]

RAW, ORACLE = "k1-raw", "oracle"


@dataclass(frozen=True)
class _Figure:
    """One figure of a cell: ``observed[S]`` and ``drawn[S, B]``; NaN for a seed that isn't done."""

    observed: Scores
    drawn: Scores

    def minus(self, other: _Figure) -> _Figure:
        return _Figure(self.observed - other.observed, self.drawn - other.drawn)


def compare_cells(
    scores: CellScores,
    same: Same,
    fold: Folds,
    people: People,
    *,
    seeds: Sequence[int],
    pairs_of_cells: Sequence[tuple[str, str]],
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Measure the cells of a proof, and compare them on the same people and seeds.

    Parameters
    ----------
    scores
        Cell -> training seed -> cosines [P]; a cell that lacks a seed is measured, and compared, on those that it has.
    same, fold, people
        Of the P pairs.
    seeds
        All training seeds.
    pairs_of_cells
        Which cells are compared, as (this, with that).
    bootstrap
        Number of resamples of people and seeds.
    seed
        Seed of the resampling.

    Returns
    -------
    dict
        ``cells`` (``seeds``; each figure with ``value``, ``interval`` and ``by_seed``; ``gap_closed``),
        ``differences`` (``this-that``: AUC and accuracy with ``interval`` and ``finding``), ``refused``, and
        ``gap_reason`` where no share of the raw-to-oracle gap can be given; plain values for JSON.
    """
    blocks = list(resample_people(people, same, samples=bootstrap, seed=seed))
    flat = {f"{cell}/{number}": values for cell, by_seed in scores.items() for number, values in by_seed.items()}
    drawn = resampled_figures(flat, same, fold, blocks)
    observed = {name: observed_figures(values, same, fold) for name, values in flat.items()}
    cells = {cell: _figures(cell, seeds, observed, drawn, bootstrap) for cell in scores}
    counts = seed_draws(len(seeds), samples=bootstrap, seed=seed)
    reason = _no_gap(cells, counts)
    return {
        "cells": {
            cell: {
                "seeds": sorted(scores[cell]),
                **{name: _summary(figure, counts) for name, figure in figures.items()},
                "gap_closed": None if reason or cell in (RAW, ORACLE) else _gap(cells, cell, counts),
            }
            for cell, figures in cells.items()
        },
        "differences": {
            f"{this}-{that}": _difference(cells[this], cells[that], counts)
            for this, that in pairs_of_cells
            if this in cells and that in cells and _common(cells[this]["auc"], cells[that]["auc"]).any()
        },
        "gap_reason": reason,
        "refused": refused_fars(same),
    }


def seed_draws(seeds: int, *, samples: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each of S seeds is drawn, int64[B, S]: S - 1 draws in each resample, one if there is one seed."""
    rng = np.random.default_rng([seed, 1])
    return rng.multinomial(max(1, seeds - 1), np.full(seeds, 1 / seeds), size=samples)


def _figures(
    cell: str,
    seeds: Sequence[int],
    observed: Mapping[str, Mapping[str, float]],
    drawn: Mapping[str, Mapping[str, Scores]],
    samples: int,
) -> dict[str, _Figure]:
    """Every figure of a cell, with a row a seed."""
    keys = [f"{cell}/{number}" for number in seeds]
    names = next(observed[key] for key in keys if key in observed)
    nothing = np.full(samples, np.nan)
    return {
        name: _Figure(
            np.array([observed[key][name] if key in observed else np.nan for key in keys]),
            np.stack([drawn[key][name] if key in drawn else nothing for key in keys]),
        )
        for name in names
    }


def _summary(figure: _Figure, counts: npt.NDArray[np.int64]) -> dict[str, Any]:
    by_seed = [None if np.isnan(value) else float(value) for value in figure.observed]
    return {
        "value": float(np.nanmean(figure.observed)),
        "interval": _interval(_means(figure, counts)),
        "by_seed": by_seed,
    }


def _difference(
    this: Mapping[str, _Figure], that: Mapping[str, _Figure], counts: npt.NDArray[np.int64]
) -> dict[str, Any]:
    found = {}
    for name in ("auc", "accuracy"):
        summary = _summary(this[name].minus(that[name]), counts)
        found[name] = {**summary, "finding": finding(summary["interval"])}
    return found


def _no_gap(cells: Mapping[str, Mapping[str, _Figure]], counts: npt.NDArray[np.int64]) -> str | None:
    """Why there is no gap to close; None if there is one."""
    if missing := [name for name in (RAW, ORACLE) if name not in cells]:
        return f"there is no cell {' and none '.join(missing)} (oracle: needs true labels)"
    gap = cells[ORACLE]["auc"].minus(cells[RAW]["auc"])
    if not np.isfinite(gap.observed).any():
        return "no seed is done for both raw and oracle"
    low, high = _interval(_means(gap, counts))
    if low <= 0:
        return f"the oracle is not clearly better than raw on these pairs (AUC {low:+.4f} to {high:+.4f})"
    return None


def _gap(cells: Mapping[str, Mapping[str, _Figure]], cell: str, counts: npt.NDArray[np.int64]) -> dict[str, Any] | None:
    """Share of the raw-to-oracle gap in AUC that a cell closes, on the seeds that all three have."""
    raw, oracle, own = (cells[name]["auc"] for name in (RAW, ORACLE, cell))
    common = _common(own, raw) & _common(oracle, raw)
    if not common.any():
        return None
    gain, gap = own.minus(raw), oracle.minus(raw)
    value = gain.observed[common].mean() / gap.observed[common].mean()
    known = counts * common
    gains, gaps = _means(gain, known), _means(gap, known)
    usable = gaps > 0  # NaN, without a common seed in the draw, is not
    return {"value": float(value), "interval": _interval(gains[usable] / gaps[usable])}


def _common(first: _Figure, second: _Figure) -> npt.NDArray[np.bool_]:
    return np.isfinite(first.observed) & np.isfinite(second.observed)


def _means(figure: _Figure, counts: npt.NDArray[np.int64]) -> Scores:
    """Mean over the drawn seeds [B]; NaN where none of them is done."""
    done = np.isfinite(figure.observed)
    weights = counts[:, done].T.astype(np.float64)
    total = weights.sum(axis=0)
    sums = (weights * figure.drawn[done]).sum(axis=0)
    return np.divide(sums, total, out=np.full(len(total), np.nan), where=total > 0)


def _interval(values: Scores) -> list[float]:
    """`interval` of the resamples in which a seed is done."""
    return interval(values[~np.isnan(values)])
