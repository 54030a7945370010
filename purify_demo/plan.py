"""Plan of a demo set before drawing: path, label and true content of each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from purify_demo.names import invent_names

FOLDS = 10
#: People of the verification pairs are numbered from here on, and so are their shots: none is in a label.
_HELD_OUT = 1_000_000
_PLAN, _PAIRS = 0, 1
#: Spread of the logarithm of class sizes, and of the noise from one label to another.
_SIZE_SPREAD, _NOISE_SPREAD = 0.5, 0.3
_NAMESAKE_CHANCE, _NAMESAKE_SHARE = 0.35, 0.6
#: Least share of a label's pictures that stay right.
_CLEAN_FLOOR = 0.6
_NAMES_SEED = 5


class Kind(StrEnum):
    """Kind of a picture; flips, outliers and non-faces are label noise."""

    CLEAN = "clean"
    FLIP = "flip"
    OUTLIER = "outlier"
    NON_FACE = "non_face"
    NEAR_DUPLICATE = "near_duplicate"
    BROKEN = "broken"


@dataclass(frozen=True)
class DemoSpec:
    """Size and noise of a demo set.

    Attributes
    ----------
    identities
        Labels.
    mean_images, fewest_images, most_images
        Of a label, right or wrong; sizes have a long tail.
    flips, outliers, non_faces, near_duplicates
        Shares of the readable pictures: another label's person, a face of nobody in the set, no face at all, and
        slightly changed copies of a clean picture of the same label.
    broken
        Damaged files and tiny images.
    held_out, held_out_images
        People of the verification pairs, and pictures of each.
    pairs
        Verification pairs, half of them of the same person, in ten folds.
    """

    identities: int = 50
    mean_images: int = 36
    fewest_images: int = 10
    most_images: int = 70
    flips: float = 0.16
    outliers: float = 0.12
    non_faces: float = 0.025
    near_duplicates: float = 0.03
    broken: int = 10
    held_out: int = 120
    held_out_images: int = 6
    pairs: int = 2000

    def __post_init__(self) -> None:
        if not (self.identities > 1 and 2 < self.fewest_images <= self.mean_images <= self.most_images):
            raise ValueError("expected two labels or more, and 2 < fewest_images <= mean_images <= most_images")
        shares = (self.flips, self.outliers, self.non_faces, self.near_duplicates)
        if min(shares) < 0 or sum(shares) > 1 - _CLEAN_FLOOR:
            raise ValueError(f"shares of noise: expected at least 0, in sum at most {1 - _CLEAN_FLOOR:.2f}")
        same = self.held_out * self.held_out_images * (self.held_out_images - 1) // 2
        if self.held_out < 2 or self.pairs % (2 * FOLDS) or self.pairs // 2 > same:
            raise ValueError(f"pairs: expected a multiple of {2 * FOLDS}, at most {2 * same}, of two people or more")


@dataclass(frozen=True)
class Picture:
    """One file: its path and labels, the person in it, and the number that seeds its drawing."""

    path: str
    label: str
    true_label: str
    kind: Kind
    person: int
    shot: int


@dataclass
class _Row:
    """A readable picture while noise is assigned; `shot` seeds its drawing."""

    label: int
    person: int
    shot: int
    kind: Kind = Kind.CLEAN


def plan_set(spec: DemoSpec, seed: int) -> list[Picture]:
    """All labeled pictures, sorted by path; equal arguments give equal plans."""
    rng = np.random.default_rng([seed, _PLAN])
    names = _names(spec)[: spec.identities]
    labels = np.repeat(np.arange(spec.identities), _class_sizes(spec, rng))
    rows = [_Row(int(label), int(label), shot) for shot, label in enumerate(labels)]
    _deal_noise(rows, labels, spec, rng)
    rows += [_Row(int(rng.integers(spec.identities)), -1, len(rows) + i, Kind.BROKEN) for i in range(spec.broken)]
    return sorted(_pictures(rows, names, rng), key=lambda picture: picture.path)


def plan_held_out(spec: DemoSpec) -> list[Picture]:
    """The pictures of the verification pairs."""
    return [
        Picture(
            path=f"verification/{name}/{k + 1}.jpg",
            label=name,
            true_label=name,
            kind=Kind.CLEAN,
            person=_HELD_OUT + i,
            shot=_HELD_OUT + i * spec.held_out_images + k,
        )
        for i, name in enumerate(_names(spec)[spec.identities :])
        for k in range(spec.held_out_images)
    ]


def plan_pairs(spec: DemoSpec, seed: int) -> Iterator[dict[str, object]]:
    """Rows ``a, b, same, fold``: as many pairs of the same person as of two in every fold, none twice."""
    rng = np.random.default_rng([seed, _PAIRS])
    pictures = plan_held_out(spec)
    first, second = np.triu_indices(len(pictures), 1)
    person = np.array([picture.person for picture in pictures])
    same = person[first] == person[second]
    per_fold = spec.pairs // (2 * FOLDS)
    chosen = {
        wanted: rng.choice(np.flatnonzero(same == wanted), size=(FOLDS, per_fold), replace=False)
        for wanted in (True, False)
    }
    for fold in range(FOLDS):
        for wanted in (True, False):
            for i in np.sort(chosen[wanted][fold]):
                yield {"a": pictures[first[i]].path, "b": pictures[second[i]].path, "same": int(wanted), "fold": fold}


def _names(spec: DemoSpec) -> list[str]:
    return invent_names(spec.identities + spec.held_out, np.random.default_rng(_NAMES_SEED))


def _class_sizes(spec: DemoSpec, rng: np.random.Generator) -> np.ndarray:
    weights = np.exp(rng.normal(0, _SIZE_SPREAD, spec.identities))
    return np.clip(np.rint(weights / weights.mean() * spec.mean_images), spec.fewest_images, spec.most_images).astype(
        int
    )


def _deal_noise(rows: Sequence[_Row], labels: np.ndarray, spec: DemoSpec, rng: np.random.Generator) -> None:
    order = _noisy_order(labels, rng)
    shares = (spec.flips, spec.outliers, spec.non_faces, spec.near_duplicates)
    counts = [round(share * len(rows)) for share in shares]
    flips, outliers, non_faces, copies, _ = np.split(order, np.cumsum(counts))
    for i in flips:
        other = (rows[i].label + int(rng.integers(1, spec.identities))) % spec.identities
        rows[i].kind, rows[i].person = Kind.FLIP, other
    strangers = _Strangers(spec.identities, rng)
    for i in outliers:
        rows[i].kind, rows[i].person = Kind.OUTLIER, strangers.one(rows[i].label)
    for i in non_faces:
        rows[i].kind, rows[i].person = Kind.NON_FACE, -1
    for i in copies:
        rows[i].kind = Kind.NEAR_DUPLICATE
    for i in copies:
        originals = [row.shot for row in rows if row.label == rows[i].label and row.kind is Kind.CLEAN]
        rows[i].shot = int(rng.choice(originals))


def _noisy_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Row numbers in the order of becoming noise: some labels are noisier, all keep a clean majority."""
    noisiness = rng.normal(0, _NOISE_SPREAD, labels.max() + 1)
    order = np.argsort(-(rng.gumbel(size=len(labels)) + noisiness[labels]))
    rank = np.empty(len(labels), int)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        rank[mine] = np.arange(len(mine))
    spare = rank < np.floor((1 - _CLEAN_FLOOR) * np.bincount(labels)[labels])
    return np.concatenate([order[spare[order]], order[~spare[order]]])


class _Strangers:
    """People without a label: mostly one image of each, but some labels have a recurring namesake."""

    def __init__(self, first: int, rng: np.random.Generator) -> None:
        self._next, self._rng = first, rng
        self._namesakes: dict[int, int | None] = {}

    def one(self, label: int) -> int:
        """The person of an outlier under `label`."""
        if label not in self._namesakes:
            self._namesakes[label] = self._new() if self._rng.uniform() < _NAMESAKE_CHANCE else None
        namesake = self._namesakes[label]
        if namesake is not None and self._rng.uniform() < _NAMESAKE_SHARE:
            return namesake
        return self._new()

    def _new(self) -> int:
        self._next += 1
        return self._next - 1


def _pictures(rows: Sequence[_Row], names: Sequence[str], rng: np.random.Generator) -> Iterator[Picture]:
    """Number the files of each label in random order."""
    taken = dict.fromkeys(names, 0)
    for i in rng.permutation(len(rows)):
        row, label = rows[i], names[rows[i].label]
        taken[label] += 1
        truth = names[row.person] if 0 <= row.person < len(names) else ""
        yield Picture(f"images/{label}/{taken[label]:03d}.jpg", label, truth, row.kind, row.person, row.shot)
