"""Thresholds of the class structure from null distributions on the data set itself.

They limit the cohesion of an identity, and the similarity of two identities or of two parts of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from purify.analysis.class_rows import ClassRows, DistinctPictures, ImageGroups, distinct_pictures, nearest_center
from purify.analysis.label_noise.halves import most_alike_classes
from purify.analysis.label_noise.mode_seeking import CosineScale, Groups, cosine_scale, densest, scale_between, stack
from purify.analysis.search import row_cosines
from purify.arrays import Floats, Ids, Vectors

#: Minimum number of distinct pictures of a further identity.
LEAST_IMAGES = 5
#: Images of a group beyond which its similarity to others of its person varies no less.
_SETTLED = 20
#: Draws for the null distributions: cosines, classes and pools of strangers, and the largest pool.
_DRAWS = 20_000
_DRAWN_CLASSES = 2_000
_POOLS = 200
_MOST_STRANGERS = 256
#: Tail probability behind the three thresholds.
_RARE = 0.01
#: Ratio of the 90 % quantile of a normal distribution to that of 99 %.
_TENTH_TO_RARE = 1.282 / 2.326
#: Minimum share of a group's images that show its person; squared, the share of pairs.
_LEAST_PURITY = 0.9
#: Spread of the similarity of a group found by search, relative to that of a random part.
_SOUGHT = 2.0


@dataclass(frozen=True)
class NullThresholds:
    """Thresholds from this data set.

    ``pairs`` and ``centers`` are scales of the cosines between images of different classes, and of images to centers of
    other classes. ``cohesion`` is the minimum for a person, ``chance_cohesion`` the maximum among ``exp(strangers)``
    strangers. Two groups are two people up to the similarity ``different``, and one person from ``same`` on, if the
    smaller one has `LEAST_IMAGES` images.
    """

    pairs: CosineScale
    centers: CosineScale
    cohesion: float
    strangers: Floats
    chance_cohesion: Floats
    different: float
    same: float

    def surely_different(self, images: int) -> float:
        """Similarity up to which a group of `images` images shows another person.

        Small groups vary more: parts of `LEAST_IMAGES` images of one class fall short of 1 by up to ``1 - same``.
        """
        return self.different - _SOUGHT * (1 - self.same) * math.sqrt(LEAST_IMAGES / images)

    def possibly_same(self, images: Ids) -> Floats:
        """Similarity [n] from which two groups may show one person, by the size ``images[n]`` of the smaller one.

        Larger parts of one class vary less, so sisters with many images each are not taken for one person where small
        parts vary much, as with covered faces. Beyond `_SETTLED` images, sets of one person differ by their occasions.
        """
        spread = np.sqrt(LEAST_IMAGES / np.clip(images, LEAST_IMAGES, _SETTLED))
        return np.asarray(1 - (1 - self.same) * spread, np.float64)

    def surely_same(self, images: Ids) -> Floats:
        """Similarity [n] that nine in ten parts of one class reach: people who look alike seldom do."""
        return np.asarray(1 - (1 - self.possibly_same(images)) * _TENTH_TO_RARE, np.float64)

    def is_person(self, cohesion: float, strangers: int) -> bool:
        """Whether a group of this cohesion, found among `strangers` strangers, is a person and no coincidence."""
        chance = np.interp(math.log(max(strangers, 1)), self.strangers, self.chance_cohesion)
        return cohesion >= max(self.cohesion, float(chance))


def null_thresholds(
    usual: ImageGroups, pairs: CosineScale, centers: CosineScale, rng: np.random.Generator
) -> NullThresholds:
    """Measure the thresholds on the dominant groups of the classes."""
    groups = stack(usual)
    strangers, chance = _chance_cohesion(usual, pairs, centers, rng)
    same = _similarity_of_parts(usual, rng)
    different = min(_similarity_of_classes(groups, rng), same)
    cohesion = _LEAST_PURITY**2 * float(np.quantile(groups.cohesion, _RARE))
    return NullThresholds(pairs, centers, cohesion, strangers, chance, different, same)


def sampled_classes(
    rows: ClassRows, near_duplicate: float, rng: np.random.Generator
) -> tuple[CosineScale, CosineScale, list[DistinctPictures]] | None:
    """Scales of pairs and of centers, and the distinct pictures of each class; None with images of one class only."""
    pairs = scale_of_pairs(rows, rng)
    if pairs is None:
        return None
    samples = [distinct_pictures(rows, label, pairs, near_duplicate) for label in np.unique(rows.label).tolist()]
    return pairs, scale_of_centers(rows, samples, rng), samples


def scale_of_pairs(rows: ClassRows, rng: np.random.Generator) -> CosineScale | None:
    """Scale of the cosines of two images of different classes; None with images of one class only."""
    a, b = rng.integers(0, len(rows.label), (2, _DRAWS)) if len(rows.label) else np.empty((2, 0), np.int64)
    return scale_between(rows.vectors, rows.label, rows.order[a], rows.order[b])


def scale_of_centers(rows: ClassRows, samples: list[DistinctPictures], rng: np.random.Generator) -> CosineScale:
    """Scale of the cosines of an image and the center of another class."""
    chosen = rows.order[rng.integers(0, len(rows.label), _DRAWS)]
    others = rng.integers(0, len(samples), _DRAWS)
    labels = np.array([sample.label for sample in samples])
    apart = rows.label[chosen] != labels[others]
    centers = np.stack([sample.center for sample in samples])
    return cosine_scale(row_cosines(rows.vectors, chosen[apart], centers, others[apart]))


def _chance_cohesion(
    usual: ImageGroups, pairs: CosineScale, centers: CosineScale, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Log sizes of sets of strangers, and the largest cohesion of the densest region in such sets."""
    sizes, reached = [0], [0.0]
    size = 2 * LEAST_IMAGES
    while size <= min(len(usual) // 2, _MOST_STRANGERS):
        seen = [_cohesion_of_strangers(usual, size, pairs, centers, rng) for _ in range(_POOLS)]
        sizes.append(size)
        reached.append(max(reached[-1], *seen))
        size *= 2
    return np.log(np.maximum(sizes, 1)), np.array(reached)


def _cohesion_of_strangers(
    usual: ImageGroups, size: int, pairs: CosineScale, centers: CosineScale, rng: np.random.Generator
) -> float:
    """Cohesion of the densest region among images of `size` people, one each; 0 if it is too small to matter."""
    people = rng.choice(len(usual), size, replace=False)
    strangers = usual.vectors[[usual.members[i][rng.integers(len(usual.members[i]))] for i in people.tolist()]]
    center = densest(strangers, pairs)
    if center is None:
        return 0.0
    near = strangers[nearest_center(strangers, center[None], centers) == 0]
    return float(stack([near]).cohesion[0]) if len(near) >= LEAST_IMAGES else 0.0


def _similarity_of_parts(usual: ImageGroups, rng: np.random.Generator) -> float:
    """Low quantile of the similarity of two random parts of one class, one of them of the least size."""
    parts: tuple[list[Vectors], list[Vectors]] = ([], [])
    for i in rng.permutation(np.resize(np.arange(len(usual)), _DRAWN_CLASSES)).tolist():
        rows = usual[i][rng.permutation(len(usual[i]))]
        cut = min(LEAST_IMAGES, len(rows) // 2)
        parts[0].append(rows[:cut])
        parts[1].append(rows[cut:])
    few, rest = (stack(part) for part in parts)
    every = np.arange(len(few.size))
    return float(np.nanquantile(few.similarity(every, rest, every), _RARE))


def _similarity_of_classes(groups: Groups, rng: np.random.Generator) -> float:
    """High quantile of the similarity of two random classes."""
    a, b = rng.integers(0, len(groups.size), (2, _DRAWS))
    return most_alike_classes(groups, a[a != b], b[a != b])
