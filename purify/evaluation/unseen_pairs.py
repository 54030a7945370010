"""Verification pairs of people not seen in training."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from purify.errors import InputError
from purify.evaluation.people import crowds, linked_images
from purify.tables.pairs import Pairs, new_folds, person_of


class SeenBy(enum.StrEnum):
    """How it is known that a person or an image of a pair was trained on; keys of ``excluded_by``."""

    LABEL = "label"
    FOLDER = "folder"
    PATH = "path"
    URI = "uri"
    BYTES = "bytes"
    PIXELS = "pixels"
    LINK = "link"
    FACE = "face"


#: Their meanings, as nouns after a number of pairs.
SEEN_BY_MEANINGS = {
    SeenBy.LABEL: "with a person who is a label of the training set",
    SeenBy.FOLDER: "with a person whose folder the training set has images of",
    SeenBy.PATH: "with a training image, by its path",
    SeenBy.URI: "with a training image, by its place",
    SeenBy.BYTES: "with a copy of a training image, by its bytes",
    SeenBy.PIXELS: "with a copy of a training image, by its pixels",
    SeenBy.LINK: "with a person of whom another image was trained on",
    SeenBy.FACE: "with a face of the training set, by `purify overlap`",
}
_OF_IMAGES = (SeenBy.PATH, SeenBy.URI, SeenBy.BYTES, SeenBy.PIXELS)


def exclude_training(
    pairs: Pairs,
    *,
    sample_ids: Sequence[str],
    labels: Sequence[str],
    seen: Mapping[str, SeenBy] = MappingProxyType({}),
    faces: Collection[str] = (),
) -> tuple[Pairs, dict[str, Any]]:
    """Leave out pairs with a person or an image seen in training, and count them by how that is known.

    A person counts as seen if they are a label or the folder of a training image (a face under a wrong label was seen
    as well), if one of their images was seen (`purify.evaluation.people` tells whose an image is), or by face. Folds
    that are left with one kind of pair are joined; if only one would remain, the pairs are folded anew.

    Parameters
    ----------
    pairs
        All pairs with images.
    sample_ids, labels
        Of the training images.
    seen
        Images of the pairs that are those of the training set, also under other ids, and how that is known.
    faces
        People and images of the pairs that are in the training set by face.

    Returns
    -------
    tuple
        The pairs left, and counts: ``file``, ``given`` = ``missing`` + ``excluded_identity`` + ``excluded_image`` (of
        other people) + ``used``; ``excluded_by`` (`SeenBy`; each pair once, in that order); of the used ones ``same``,
        ``different``, ``without_identity`` (in no folder) and the number of ``folds``.

    Raises
    ------
    InputError
        If fewer than two pairs of a kind remain.
    """
    known = _seen_by(pairs, sample_ids, labels, seen, faces)
    left = pairs.take(np.array([by is None for by in known], dtype=bool))
    left = replace(left, fold=usable_folds(left.fold, left.same))
    by = {criterion: known.count(criterion) for criterion in SeenBy}
    images = sum(by[criterion] for criterion in _OF_IMAGES)
    used = used_counts(left)
    counts = {
        "file": pairs.file,
        "given": pairs.given,
        "missing": pairs.missing,
        "excluded_identity": sum(by.values()) - images,
        "excluded_image": images,
        "excluded_by": {criterion.value: number for criterion, number in by.items() if number},
        **used,
    }
    if used["folds"] < 2:
        why = ", ".join(f"{number} {SEEN_BY_MEANINGS[criterion]}" for criterion, number in by.items() if number)
        raise InputError(
            f"{pairs.file}: of {pairs.given} pairs, {used['same']} same and {used['different']} different ones "
            "are left without people of the training set; two folds with both kinds are needed, so give pairs of "
            f"other people{f' (left out: {why})' if why else ''}"
        )
    return left, counts


def left_out(counts: Mapping[str, Any]) -> str:
    """How many pairs were left out, and by what, as a sentence without its full stop; empty if none was."""
    number = counts["excluded_identity"] + counts["excluded_image"]
    by = counts.get("excluded_by") or {}
    parts = [f"{by[criterion]:,} {meaning}" for criterion, meaning in SEEN_BY_MEANINGS.items() if by.get(criterion)]
    if not number:
        return ""
    reason = f": {', '.join(parts)}" if parts else ""
    return f"of {counts['given']:,} pairs, {number:,} are left out since the models have seen them in training{reason}"


def _seen_by(
    pairs: Pairs,
    sample_ids: Sequence[str],
    labels: Sequence[str],
    seen: Mapping[str, SeenBy],
    faces: Collection[str],
) -> list[SeenBy | None]:
    """How each pair was seen; None: it was not. The first criterion in the order of `SeenBy` counts."""
    named, ids = set(labels), set(sample_ids)
    folders = {*map(person_of, sample_ids)} - {None} - crowds(pairs)
    whose = linked_images(pairs)
    linked = {whose[name] for name in whose if name in seen or name in ids}
    shown = {*faces}

    def criteria(name: str, person: str | None) -> Iterator[SeenBy]:
        if person in named:
            yield SeenBy.LABEL
        if person in folders:
            yield SeenBy.FOLDER
        if name in ids:
            yield SeenBy.PATH
        if name in seen:
            yield seen[name]
        if whose[name] in linked:
            yield SeenBy.LINK
        if person in shown or name in shown:
            yield SeenBy.FACE

    order = list(SeenBy)
    found = []
    for a, b, one, other in zip(pairs.a, pairs.b, pairs.person_a, pairs.person_b, strict=True):
        found.append(min((*criteria(a, one), *criteria(b, other)), key=order.index, default=None))
    return found


def join_folds(fold: npt.NDArray[np.int64], same: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Folds ``int64[P]`` from 0, each with both kinds of pair: a fold that lacks one is joined with the next.

    The last is joined with the one before. Where that is impossible, a single fold remains.
    """
    joined = np.zeros_like(fold)
    current, kinds = 0, set()
    for value in np.unique(fold):
        inside = fold == value
        joined[inside] = current
        kinds |= set(same[inside].tolist())
        if len(kinds) == 2:
            current, kinds = current + 1, set()
    return np.minimum(joined, max(current - 1, 0))


def used_counts(left: Pairs) -> dict[str, int]:
    """The numbers of used pairs, of each kind and in no folder, and of their folds; see `exclude_training`."""
    return {
        "used": len(left.a),
        "same": int(left.same.sum()),
        "different": int((~left.same).sum()),
        "without_identity": sum(None in sides for sides in zip(left.person_a, left.person_b, strict=True)),
        "folds": len(np.unique(left.fold)),
    }


def usable_folds(fold: npt.NDArray[np.int64], same: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Folds joined as by `join_folds`; new ones where a single one would remain."""
    joined = join_folds(fold, same)
    return joined if joined.any() else new_folds(same)
