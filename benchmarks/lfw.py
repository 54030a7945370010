"""Scenarios made of Labeled Faces in the Wild at run time.

A long tail, people who look alike, companions who stand under each other's names, and the set as published.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.scenarios import NATURAL, Names
from benchmarks.vectors import centered_unit_rows, class_sums, unit_rows
from purify.arrays import Ids, Mask, Vectors
from purify.embedding.store import read_embeddings
from purify.storage.files import open_parquet, read_columns, write_table

_FOLDER = "lfw112/"
#: Noise of the long tail, as shares of the images of people with two or more.
_FLIPS, _STRANGERS = 0.12, 0.08
#: Among look-alikes: as much noise, all of it flips to one of a person's nearest others.
_SWAPS, _NEAREST = 0.2, 5
#: Share of a label's images that show its companion, where each has so many images or more.
_COMPANION, _LEAST_IMAGES = 0.4, 6
#: Least number of such people, of whom a quarter are pairs of relatives.
_LEAST_PEOPLE = 4


@dataclass(frozen=True)
class Published:
    """The images of a set as published, in the order of their paths: `person` [N] numbers the P `names`."""

    paths: Names
    names: Names
    person: Ids

    @property
    def alone(self) -> Mask:
        """Whether an image is the only one of its person."""
        return np.bincount(self.person)[self.person] == 1

    def repeated(self) -> Published:
        """The people with two or more images."""
        return from_paths(self.paths[~self.alone])


def from_paths(paths: Names) -> Published:
    """A set whose people are the folders of its `paths`."""
    ordered = np.sort(paths)
    names, person = np.unique(np.array([path.split("/")[-2] for path in ordered], dtype=object), return_inverse=True)
    return Published(ordered, names, person.astype(np.int64))


def lfw_paths(embeddings: Path) -> Names:
    """The images of ``lfw112/`` in a file of embeddings; none: the scenarios can't be made."""
    with open_parquet(embeddings) as file:
        column = "sample_id" if "sample_id" in file.schema_arrow.names else "path"
        ids = read_columns(embeddings, file, [column])[column].to_pylist()
    return np.array([path for path in ids if str(path).startswith(_FOLDER)], dtype=object)


def make_scenarios(embeddings: Path, folder: Path, seeds: range) -> dict[str, Path]:
    """Write the tables to `folder`: up to four for each seed, and ``natural``; name -> table.

    Empty without LFW's images; without companions where hardly anybody has six images.
    """
    paths = lfw_paths(embeddings)
    if not len(paths):
        return {}
    published = from_paths(paths)
    vectors = centered_unit_rows(read_embeddings(embeddings, published.repeated().paths.tolist()))
    tables = {}
    for seed in seeds:
        tables[f"long-tail-{seed}"] = long_tail(published, seed)
        tables[f"look-alike-{seed}"] = look_alike(published.repeated(), vectors, seed)
        if (np.bincount(published.person) >= _LEAST_IMAGES).sum() >= _LEAST_PEOPLE:
            tables[f"companions-{seed}"] = companions(published.repeated(), seed)
            tables[f"relatives-{seed}"] = companions(published.repeated(), seed, vectors)
    tables["natural"] = as_published(published)
    for name, table in tables.items():
        write_table(table, folder / f"{name}.parquet")
    return {name: folder / f"{name}.parquet" for name in tables}


def long_tail(published: Published, seed: int) -> pa.Table:
    """The people with two or more images; 12 % of these under any other name, and 8 % more of people with one image.

    Each other name is as likely for a flip; a stranger is as likely beside any image. So small labels have more noise.
    """
    rng = np.random.default_rng([seed, 12])
    inside, outside = published.repeated(), published.paths[published.alone]
    count = len(inside.paths)
    given, flipped = inside.person.copy(), _draw(rng, count, _FLIPS)
    given[flipped] = (given[flipped] + rng.integers(1, len(inside.names), size=len(flipped))) % len(inside.names)
    strangers = rng.permutation(outside)[: round(_STRANGERS * count)]
    joined = inside.person[rng.integers(count, size=len(strangers))]
    return _table(
        paths=np.r_[inside.paths, strangers],
        label=inside.names[np.r_[given, joined]],
        true_label=np.r_[inside.names[inside.person], np.full(len(strangers), "", dtype=object)],
        kind=np.r_[_kinds(count, flipped), np.full(len(strangers), "outlier", dtype=object)],
    )


def look_alike(published: Published, vectors: Vectors, seed: int) -> pa.Table:
    """20 % of the images under the name of one of the five people who look most like theirs.

    `vectors` [N, D] are of length 1; people are compared by the means of their images.
    """
    rng = np.random.default_rng([seed, 13])
    nearest = nearest_people(vectors, published.person, len(published.names))
    given, flipped = published.person.copy(), _draw(rng, len(published.paths), _SWAPS)
    given[flipped] = nearest[given[flipped], rng.integers(nearest.shape[1], size=len(flipped))]
    return _table(
        paths=published.paths,
        label=published.names[given],
        true_label=published.names[published.person],
        kind=_kinds(len(given), flipped),
    )


def nearest_people(vectors: Vectors, person: Ids, people: int) -> Ids:
    """The people whose means are nearest to each one's, nearest first [P, 5], or fewer where there are no more."""
    means = unit_rows(class_sums(vectors, person, people))
    cosines = means @ means.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, : min(_NEAREST, people - 1)]


def companions(published: Published, seed: int, vectors: Vectors | None = None) -> pa.Table:
    """People with six or more images, by two: 40 % of the images under each name show the other of the two.

    Companions are drawn, as couples and co-stars meet; with ``vectors[N, D]`` of length 1 the more alike half of the
    people are each other's companions, and the others have none, as among relatives.
    """
    rng = np.random.default_rng([seed, 14])
    size = np.bincount(published.person)
    people = rng.permutation(np.flatnonzero(size >= _LEAST_IMAGES))
    if vectors is None:
        couples = people[: len(people) // 2 * 2].reshape(-1, 2)
    else:
        couples = _likest_couples(unit_rows(class_sums(vectors, published.person, len(size))), people)
    images = {person: rng.permutation(np.flatnonzero(published.person == person)) for person in people.tolist()}
    shown = [(person, images[person]) for person in np.setdiff1d(people, couples).tolist()]
    for one, other in [*couples.tolist(), *couples[:, ::-1].tolist()]:
        own = images[one][: len(images[one]) // 2]
        theirs = images[other][len(images[other]) // 2 :]
        shown += [(one, own), (one, theirs[: round(len(own) * _COMPANION / (1 - _COMPANION))])]
    rows = np.concatenate([own for _, own in shown])
    given = np.repeat([name for name, _ in shown], [len(own) for _, own in shown])
    return _table(
        paths=published.paths[rows],
        label=published.names[given],
        true_label=published.names[published.person[rows]],
        kind=_kinds(len(rows), np.flatnonzero(given != published.person[rows])),
    )


def _likest_couples(means: Vectors, people: Ids) -> Ids:
    """Pairs [P / 4, 2] of the `people`, the most alike first, each in one pair at most."""
    cosines = np.triu(means[people] @ means[people].T, 1)
    free = set(range(len(people)))
    couples: list[tuple[int, int]] = []
    for at in np.argsort(-cosines, axis=None, kind="stable").tolist():
        pair = divmod(at, len(people))
        if len(couples) < len(people) // 4 and free.issuperset(pair) and pair[0] < pair[1]:
            free.difference_update(pair)
            couples.append(pair)
    return people[np.array(couples, np.int64).reshape(-1, 2)]


def as_published(published: Published) -> pa.Table:
    """The labels as they are; nobody knows which of them are wrong."""
    count = len(published.paths)
    unknown = np.full(count, None, dtype=object)
    return _table(published.paths, published.names[published.person], unknown, np.full(count, NATURAL, dtype=object))


def _draw(rng: np.random.Generator, count: int, share: float) -> Ids:
    return rng.permutation(count)[: round(share * count)]


def _kinds(count: int, flipped: Ids) -> Names:
    kind = np.full(count, "clean", dtype=object)
    kind[flipped] = "flip"
    return kind


def _table(paths: Names, label: Names, true_label: Names, kind: Names) -> pa.Table:
    columns = {"path": paths, "label": label, "true_label": true_label, "kind": kind}
    return pa.table({name: pa.array(values.tolist(), pa.string()) for name, values in columns.items()})
