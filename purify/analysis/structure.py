"""Class structure: several people under one label, and one person under several labels.

Every threshold comes from the data at hand, so that a strong and a weak extractor are judged alike:

* the densest place of a class is its first group, the densest place of what is left the next one (`modes`);
* a group is a person if it coheres like the classes of this set do, and more than strangers do by chance;
* two groups are two people if they are no more alike than two random classes are, and one person if they are
  as alike as two random parts of one class are.

Wrong labels bring companions: several images of one well-known person may land in a class by chance. So a group
that is like another class must be larger than chance explains (Poisson, corrected for the number of comparisons).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import faiss
import numpy as np
import numpy.typing as npt

from purify.analysis.modes import Groups, Scale, bisect, densest, distinct, scale_of, stack
from purify.analysis.search import Ids, Vectors, cosine_index, row_chunks, unit

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Different pictures that make a person; fewer are left alone.
LEAST_IMAGES = 5
#: A further person has at least this share of the images that belong to a group of the class.
LEAST_SHARE = 0.04
#: Images of a class that are compared with each other; the others join the groups found.
_MOST_ROWS = 400
_MOST_GROUPS = 4
#: Chance groups and chance merges that are tolerated in a whole data set.
_FALSE_GROUPS = 0.01
#: Cosines, pairs and classes that are drawn to see what is usual.
_DRAWS = 20_000
_DRAWN_CLASSES = 2_000
_POOLS = 200
_MOST_STRANGERS = 256
#: Share of the classes that cohere less than a person must, and of random pairs of classes that are more alike
#: than two people may be, and of pairs of parts of one class that are less alike than one person must be.
_RARE = 0.01
#: How much farther from the middle the 99 % point of a normal distribution is than the 95 % point.
_RARE_TO_SELDOM = 2.326 / 1.645
#: Share of a group's images that show its person; the square of it is the share of the pairs.
_LEAST_PURITY = 0.9
#: How much more the likeness of a group that was looked for varies than that of a random part.
_SOUGHT = 2.0
#: Images that weigh less for a center than this are looked at for a further group.
_AWAY = 0.5
#: With fewer classes that have a person of some size nothing can be said of what is usual.
_LEAST_CLASSES = 3
_CANDIDATES = 6
_SHOWN = (3, 2)
#: Columns that decide the order of work; rows that are equal in them are taken as they come.
_ORDER_COLUMNS = 8
_SEED = 1234


@dataclass(frozen=True)
class Merge:
    """One person under two labels.

    Attributes
    ----------
    label, into
        Class numbers; `into` has more images of the person (a trusted one counts twice). Numbers of images in the
        same power of two are a tie, which the lower class number wins: names don't change places for an image.
        It may itself be merged into a third.
    cosine
        Cosine of the centers of the two classes' dominant groups.
    evidence
        Row numbers: up to 3 images of `label` that are most like `into`, then up to 2 of `into` most like `label`.
    """

    label: int
    into: int
    cosine: float
    evidence: Ids


@dataclass(frozen=True)
class Structure:
    """The people under the labels.

    Attributes
    ----------
    group
        int32 [N]: 0 for the class's dominant identity, 1, 2, ... for a further identity of a mixed class by
        falling size, -1 for an image of no group.
    mixed
        bool [C]: classes with a further identity.
    merges
        Pairs of labels of one person, by `label`; a label is merged into one other at most.
    """

    group: npt.NDArray[np.int32]
    mixed: Mask
    merges: tuple[Merge, ...]


def find_structure(
    vectors: Vectors, label_index: Ids, classes: int, p_clean: Floats, *, near_duplicate: float = 0.98
) -> Structure:
    """Find mixed classes and duplicate labels.

    Work is done in an order that the vectors give, so the result does not depend on where a row stands, except
    among rows of one class that agree in their first `_ORDER_COLUMNS` columns.

    Parameters
    ----------
    vectors
        float [N, D]: centered unit vectors.
    label_index
        int [N]: class of each row, in [0, `classes`).
    classes
        C; some may have no rows.
    p_clean
        float [N]: probability that the row shows the dominant person of its class. It only weighs which of two
        groups is the larger one: where two labels share a person it may be low for both.
    near_duplicate
        Rows of a class with a larger cosine are one picture.
    """
    order = _canonical(vectors, label_index)
    sorted_vectors = np.ascontiguousarray(vectors[order], np.float32)
    found = _find(_Rows.of(sorted_vectors, label_index[order], classes, p_clean[order]), near_duplicate)
    group = np.zeros(len(order), np.int32)
    if found is None:
        return Structure(group, np.zeros(classes, np.bool_), ())
    group[order] = found.group
    return Structure(
        group, found.mixed, tuple(replace(merge, evidence=order[merge.evidence]) for merge in found.merges)
    )


@dataclass(frozen=True)
class _Rows:
    """Rows sorted by class; class c has the rows from ``start[c]`` to ``start[c + 1]``."""

    vectors: Vectors
    label: Ids
    start: Ids
    p_clean: Floats

    @classmethod
    def of(cls, vectors: Vectors, label: Ids, classes: int, p_clean: Floats) -> _Rows:
        return cls(vectors, label, np.searchsorted(label, np.arange(classes + 1)), p_clean)

    @property
    def classes(self) -> int:
        return len(self.start) - 1

    @property
    def sizes(self) -> Ids:
        return np.diff(self.start)

    def members(self, label: int) -> Ids:
        return np.arange(self.start[label], self.start[label + 1])


@dataclass(frozen=True)
class _Sample:
    """Different pictures of a class, and the center of their densest place."""

    label: int
    rows: Vectors
    center: Vectors


@dataclass(frozen=True)
class _Yardstick:
    """What is usual in this data set.

    Attributes
    ----------
    pairs, centers
        Cosines of images of different classes, and of images and the centers of other classes.
    cohesion
        The least of a person.
    strangers, chance_cohesion
        Logarithms of sizes of sets of strangers, and the cohesion of the densest place that was seen in such sets.
    different, same
        Likeness up to which two groups are two people, and from which they are one.
    """

    pairs: Scale
    centers: Scale
    cohesion: float
    strangers: Floats
    chance_cohesion: Floats
    different: float
    same: float

    def surely_different(self, images: int) -> float:
        """Likeness up to which a group of so many images shows another person.

        Small groups vary: parts of `LEAST_IMAGES` images of one class fall short of 1 by up to ``1 - same``. A
        group that was looked for varies more than a random part does.
        """
        return self.different - _SOUGHT * (1 - self.same) * math.sqrt(LEAST_IMAGES / images)

    def is_person(self, cohesion: float, strangers: int) -> bool:
        """Whether a group of that cohesion, found among so many rows that don't belong, is no coincidence."""
        chance = np.interp(math.log(max(strangers, 1)), self.strangers, self.chance_cohesion)
        return cohesion >= max(self.cohesion, float(chance))


@dataclass(frozen=True)
class _Crowd:
    """The dominant groups ``groups[i]`` of the classes ``labels[i]`` that have one, to be searched.

    ``share[i]`` is the class's share of all rows, ``larger[i]`` the number of classes that are at least as large.
    """

    labels: Ids
    groups: Groups
    share: Floats
    larger: Ids
    index: faiss.Index

    @classmethod
    def of(cls, labels: Ids, groups: Groups, sizes: Ids) -> _Crowd:
        own = sizes[labels]
        larger = len(sizes) - np.searchsorted(np.sort(sizes), own)
        return cls(labels, groups, own / sizes.sum(), larger, cosine_index(unit(groups.mean)))

    def alike(self, groups: Groups) -> tuple[Ids, Floats]:
        """The nearest classes, as positions in `labels`, and their likeness; both [G, `_CANDIDATES`].

        Where there are no more the position is -1 and the likeness NaN.
        """
        found = np.full((len(groups.size), _CANDIDATES), -1, np.int64)
        for chunk in row_chunks(len(found)):
            width = min(_CANDIDATES, len(self.labels))
            found[chunk, :width] = self.index.search(unit(groups.mean[chunk]), width)[1]
        likeness = groups.likeness(np.repeat(np.arange(len(found)), _CANDIDATES), self.groups, found.ravel())
        return found, np.where(found >= 0, likeness.reshape(found.shape), np.nan)

    def by_chance(self, images: int, wrong: int, alike: Ids) -> bool:
        """Whether wrong labels explain that `images` of `wrong` rows of a class show the people `alike`.

        Wrong labels bring each person as often as the data set has images of it. Every class and every person
        who is at least as frequent could have been the coincidence.
        """
        if not len(alike):
            return False
        tail = _poisson_tail(images, wrong * float(self.share[alike].sum()))
        return tail * len(self.larger) * float(self.larger[alike].min()) > _FALSE_GROUPS


def _canonical(vectors: Vectors, label_index: Ids) -> Ids:
    """Order of the rows by class, then by their vectors."""
    columns = vectors[:, :_ORDER_COLUMNS].T[::-1]
    return np.lexsort((*columns, label_index))


def _find(rows: _Rows, near_duplicate: float) -> Structure | None:
    """The structure of sorted rows; None if the classes are too few or too small to know what is usual."""
    rng = np.random.default_rng(_SEED)
    pairs = _scale_of_pairs(rows, rng)
    if pairs is None:
        return None
    samples = [_sample(rows, label, pairs, near_duplicate) for label in np.flatnonzero(rows.sizes).tolist()]
    centers = _scale_of_centers(rows, samples, rng)
    dominant = [sample.rows[_nearest(sample.rows, sample.center[None], centers) == 0] for sample in samples]
    known = [i for i, near in enumerate(dominant) if len(near) >= LEAST_IMAGES]
    if len(known) < _LEAST_CLASSES:
        return None
    usual = [dominant[i] for i in known]
    yardstick = _yardstick(usual, pairs, centers, rng)
    labels = np.array([samples[i].label for i in known], np.int64)
    crowd = _Crowd.of(labels, stack(usual), rows.sizes)
    people = [_people(sample, yardstick, crowd) for sample in samples]
    found = np.full(len(rows.label), -1, np.int32)
    mixed = np.zeros(rows.classes, np.bool_)
    for sample, own in zip(samples, people, strict=True):
        members = rows.members(sample.label)
        found[members] = _by_size(_nearest(rows.vectors[members], own, centers), rows.p_clean[members], len(own))
        mixed[sample.label] = len(own) > 1
    pictures = np.array([len(samples[i].rows) for i in known])
    return Structure(found, mixed, _merges(rows, found, mixed, crowd, pictures, yardstick))


def _scale_of_pairs(rows: _Rows, rng: np.random.Generator) -> Scale | None:
    """Scale of the cosines of two images of different classes; None with images of one class only."""
    a, b = rng.integers(0, len(rows.label), (2, _DRAWS)) if len(rows.label) else np.empty((2, 0), np.int64)
    apart = rows.label[a] != rows.label[b]
    if not apart.any():
        return None
    return scale_of(np.einsum("nd,nd->n", rows.vectors[a[apart]], rows.vectors[b[apart]]))


def _sample(rows: _Rows, label: int, pairs: Scale, near_duplicate: float) -> _Sample:
    """Some rows of the class, evenly spread over their order, without near duplicates."""
    members = rows.members(label)
    if len(members) > _MOST_ROWS:
        members = members[np.linspace(0, len(members) - 1, _MOST_ROWS).astype(np.int64)]
    pictures = rows.vectors[members]
    pictures = pictures[distinct(pictures, near_duplicate)]
    center = densest(pictures, pairs)
    return _Sample(label, pictures, pictures[0] if center is None else center)


def _scale_of_centers(rows: _Rows, samples: list[_Sample], rng: np.random.Generator) -> Scale:
    """Scale of the cosines of an image and the center of another class."""
    chosen = rng.integers(0, len(rows.label), _DRAWS)
    others = rng.integers(0, len(samples), _DRAWS)
    labels = np.array([sample.label for sample in samples])
    apart = rows.label[chosen] != labels[others]
    centers = np.stack([sample.center for sample in samples])
    return scale_of(np.einsum("nd,nd->n", rows.vectors[chosen[apart]], centers[others[apart]]))


def _nearest(vectors: Vectors, centers: Vectors, scale: Scale) -> Ids:
    """The nearest of the ``centers[g, D]`` for each of the ``vectors[n, D]``, or -1 where none is near."""
    cosines = vectors @ centers.T
    return np.where(cosines.max(axis=1) > scale.low, cosines.argmax(axis=1), -1)


def _yardstick(usual: list[Vectors], pairs: Scale, centers: Scale, rng: np.random.Generator) -> _Yardstick:
    """See what is usual in the dominant groups of the classes."""
    groups = stack(usual)
    strangers, chance = _chance_cohesion(usual, pairs, centers, rng)
    same = _likeness_of_parts(usual, rng)
    return _Yardstick(
        pairs=pairs,
        centers=centers,
        cohesion=_LEAST_PURITY**2 * float(np.quantile(groups.cohesion, _RARE)),
        strangers=strangers,
        chance_cohesion=chance,
        different=min(_likeness_of_classes(groups, rng), same),
        same=same,
    )


def _chance_cohesion(
    usual: list[Vectors], pairs: Scale, centers: Scale, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Logarithms of sizes of sets of strangers, and the largest cohesion of the densest place in such sets."""
    sizes = [0]
    reached = [0.0]
    size = 2 * LEAST_IMAGES
    while size <= min(len(usual) // 2, _MOST_STRANGERS):
        sizes.append(size)
        reached.append(
            max(reached[-1], *(_cohesion_of_strangers(usual, size, pairs, centers, rng) for _ in range(_POOLS)))
        )
        size *= 2
    return np.log(np.maximum(sizes, 1)), np.array(reached)


def _cohesion_of_strangers(
    usual: list[Vectors], size: int, pairs: Scale, centers: Scale, rng: np.random.Generator
) -> float:
    """Cohesion of the densest place among images of `size` people, one of each; 0 if it is too small to matter."""
    people = rng.choice(len(usual), size, replace=False)
    strangers = np.stack([usual[i][rng.integers(len(usual[i]))] for i in people.tolist()])
    center = densest(strangers, pairs)
    if center is None:
        return 0.0
    near = strangers[_nearest(strangers, center[None], centers) == 0]
    return float(stack([near]).cohesion[0]) if len(near) >= LEAST_IMAGES else 0.0


def _likeness_of_parts(usual: list[Vectors], rng: np.random.Generator) -> float:
    """Likeness that two random parts of one class rarely fall short of; one part is of the least size."""
    parts: tuple[list[Vectors], list[Vectors]] = ([], [])
    for i in rng.permutation(np.resize(np.arange(len(usual)), max(_DRAWN_CLASSES, 1))).tolist():
        rows = usual[i][rng.permutation(len(usual[i]))]
        cut = min(LEAST_IMAGES, len(rows) // 2)
        parts[0].append(rows[:cut])
        parts[1].append(rows[cut:])
    few, rest = (stack(part) for part in parts)
    every = np.arange(len(few.size))
    return float(np.nanquantile(few.likeness(every, rest, every), _RARE))


def _likeness_of_classes(groups: Groups, rng: np.random.Generator) -> float:
    """Likeness that two random classes rarely exceed.

    It is extrapolated from where 19 of 20 pairs are, as for a normal distribution: with few classes one duplicate
    label would otherwise be the rare case that is measured.
    """
    a, b = rng.integers(0, len(groups.size), (2, _DRAWS))
    likeness = groups.likeness(a[a != b], groups, b[a != b])
    middle, most = np.nanquantile(likeness, [0.5, 0.95])
    return float(middle + (most - middle) * _RARE_TO_SELDOM)


def _people(sample: _Sample, yardstick: _Yardstick, crowd: _Crowd) -> Vectors:
    """Centers [g, D] of the people of a class: one, or more if it is mixed.

    A dense place may lie between two people who are somewhat alike, so each is tried in halves as well.
    """
    people = _accepted(sample, _dense_places(sample, yardstick), yardstick, crowd)
    for k in range(len(people)):
        tried = _accepted(sample, _in_halves(sample, people, k, yardstick), yardstick, crowd)
        if len(tried) > len(people):
            people = tried
    return people


def _accepted(sample: _Sample, centers: Vectors, yardstick: _Yardstick, crowd: _Crowd) -> Vectors:
    """Those of the ``centers[g, D]`` that are people whom wrong labels don't explain; at least the first one."""
    near = _nearest(sample.rows, centers, yardstick.centers)
    groups = stack([sample.rows[near == k] for k in range(len(centers))])
    people = [0]
    for k in range(1, len(centers)):
        if _is_further_person(groups, k, people, yardstick):
            people.append(k)
    if len(people) > 1:
        people = [k for k in people if not _is_by_chance(sample, groups, k, yardstick, crowd)]
    return centers[people] if len(people) > 1 else centers[:1]


def _dense_places(sample: _Sample, yardstick: _Yardstick) -> Vectors:
    """Centers of the densest place, of the densest place away from it, and so on."""
    centers = [sample.center]
    far = yardstick.centers.weight(sample.rows @ sample.center) < _AWAY
    while far.sum() >= LEAST_IMAGES and len(centers) < _MOST_GROUPS:
        center = densest(sample.rows[far], yardstick.pairs)
        if center is None:
            break
        centers.append(center)
        far &= yardstick.centers.weight(sample.rows @ center) < _AWAY
    return np.stack(centers)


def _in_halves(sample: _Sample, centers: Vectors, k: int, yardstick: _Yardstick) -> Vectors:
    """The ``centers[g, D]`` with center `k` replaced by those of its two halves, the smaller half last."""
    rows = sample.rows[_nearest(sample.rows, centers, yardstick.centers) == k]
    if len(rows) < 2 * LEAST_IMAGES:
        return centers
    halves = bisect(rows)
    return np.concatenate([centers[:k], halves[:1], centers[k + 1 :], halves[1:]])


def _is_further_person(groups: Groups, k: int, people: list[int], yardstick: _Yardstick) -> bool:
    """Whether group `k` is large and coherent enough, and none of the `people` that were found before."""
    size = int(groups.size[k])
    if size < max(LEAST_IMAGES, LEAST_SHARE * groups.size.sum()):
        return False
    likeness = groups.likeness(np.full(len(people), k), groups, np.array(people))
    strangers = int(groups.size.sum() - groups.size[people].sum())
    return bool((likeness <= yardstick.surely_different(size)).all()) and yardstick.is_person(
        float(groups.cohesion[k]), strangers
    )


def _is_by_chance(sample: _Sample, groups: Groups, k: int, yardstick: _Yardstick, crowd: _Crowd) -> bool:
    """Whether group `k` may be wrong labels of one person that happened to fall into this class."""
    found, likeness = crowd.alike(groups.only(k))
    alike = found[(likeness > yardstick.different) & (crowd.labels[found] != sample.label)]
    largest_other = int(np.delete(groups.size, k).max())
    return crowd.by_chance(int(groups.size[k]), len(sample.rows) - largest_other, alike)


def _by_size(nearest: Ids, p_clean: Floats, groups: int) -> npt.NDArray[np.int32]:
    """Renumber the groups from the largest to the smallest; -1 stays."""
    order = np.argsort([-_weight(p_clean[nearest == k]) for k in range(groups)], kind="stable")
    rank = np.empty(groups + 1, np.int32)
    rank[order] = np.arange(groups)
    rank[-1] = -1
    return rank[nearest]


def _weight(p_clean: Floats) -> float:
    """Images, of which a trusted one counts twice."""
    return len(p_clean) + float(p_clean.sum())


def _merges(
    rows: _Rows, found: npt.NDArray[np.int32], mixed: Mask, crowd: _Crowd, pictures: Ids, yardstick: _Yardstick
) -> tuple[Merge, ...]:
    """Merge every label into the largest one that shows the same person."""
    nearest, likeness = crowd.alike(crowd.groups)
    whole = ~mixed[crowd.labels]
    alike = (likeness >= yardstick.same) & whole[:, None] & whole[nearest] & (nearest != np.arange(len(whole))[:, None])
    weight = np.array([_weight(rows.p_clean[_dominant(rows, found, label)]) for label in crowd.labels.tolist()])
    # In powers of two: of two labels that are about as large the first one stays, run after run.
    scale = np.floor(np.log2(np.maximum(weight, 1)))
    best: dict[int, int] = {}
    for a, b in zip(*(side.tolist() for side in _pairs(alike, nearest)), strict=True):
        small, large = sorted((a, b), key=lambda i: (scale[i], -i))
        if crowd.by_chance(int(crowd.groups.size[small]), int(pictures[small]), np.array([large])):
            continue
        if small not in best or (scale[large], -large) > (scale[best[small]], -best[small]):
            best[small] = large
    return tuple(_merge(rows, found, crowd, small, best[small]) for small in sorted(best))


def _pairs(alike: Mask, nearest: Ids) -> tuple[Ids, Ids]:
    """The unordered pairs of positions that are `alike`, each once."""
    a, column = np.nonzero(alike)
    b = nearest[a, column]
    pairs = np.unique(np.stack([np.minimum(a, b), np.maximum(a, b)]), axis=1)
    return pairs[0], pairs[1]


def _dominant(rows: _Rows, found: npt.NDArray[np.int32], label: int) -> Ids:
    """Rows of the dominant group of a class."""
    members = rows.members(label)
    return members[found[members] == 0]


def _merge(rows: _Rows, found: npt.NDArray[np.int32], crowd: _Crowd, small: int, large: int) -> Merge:
    centers = unit(crowd.groups.mean[[small, large]])
    label, into = int(crowd.labels[small]), int(crowd.labels[large])
    shown = [
        _most_like(rows, _dominant(rows, found, own), center, most)
        for own, center, most in zip((label, into), centers[::-1], _SHOWN, strict=True)
    ]
    return Merge(label, into, float(centers[0] @ centers[1]), np.concatenate(shown))


def _most_like(rows: _Rows, members: Ids, center: Vectors, most: int) -> Ids:
    return members[np.argsort(-(rows.vectors[members] @ center), kind="stable")[:most]]


def _poisson_tail(count: int, rate: float) -> float:
    """Upper bound of the probability of at least `count` where `rate` are expected."""
    if count <= rate:
        return 1.0
    log_term = count * math.log(rate) - rate - math.lgamma(count + 1) if rate > 0 else -math.inf
    return min(1.0, math.exp(log_term) / (1 - rate / (count + 1)))
