"""Figures of reconstructed faces: what the network and a third party say of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from purify.evaluation.verification import auc, fold_accuracy

Matrix = npt.NDArray[np.float32]
_FOLDS = 10


def unit(vectors: Matrix) -> Matrix:
    """Rows at unit length."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def likeness(images: Matrix, people: Matrix, right: npt.NDArray[np.int64], *, center: npt.NDArray) -> dict[str, float]:
    """Cosines of ``images[N, D]`` to ``people[P, D]`` (unit, centered): to the right person, to wrong ones; AUC.

    `right` is the person of each image; `center` is subtracted from the images first. ``rank_1`` is the share of images
    nearest to their own person.
    """
    cosines = (unit(images - center) @ people.T).astype(np.float64)
    own = np.zeros(cosines.shape, bool)
    own[np.arange(len(images)), right] = True
    return {
        "right": float(cosines[own].mean()),
        "wrong": float(cosines[~own].mean()),
        "auc": auc(cosines.ravel(), own.ravel()),
        "rank_1": float((cosines.argmax(axis=1) == right).mean()),
    }


def pair_figures(vectors: Matrix, person: npt.NDArray[np.int64], *, seed: int) -> dict[str, Any]:
    """Verification among ``vectors[N, D]``: accuracy on as many different as same pairs (10 folds), AUC on all."""
    first, second = np.triu_indices(len(vectors), k=1)
    same = person[first] == person[second]
    normal = unit(vectors).astype(np.float64)
    scores = (normal[first] * normal[second]).sum(axis=1)
    rng = np.random.default_rng(seed)
    positive = np.flatnonzero(same)
    negative = rng.permutation(np.flatnonzero(~same))[: len(positive)]
    chosen = np.concatenate([positive, negative])
    fold = np.concatenate([np.arange(len(part)) % _FOLDS for part in (positive, negative)])
    accuracy = fold_accuracy(scores[chosen], same[chosen], fold)
    return {"same_pairs": int(same.sum()), "accuracy": float(accuracy.mean()), "auc": auc(scores, same)}


def kernel_distance(a: Matrix, b: Matrix) -> float:
    """KID: the unbiased squared MMD of ``a[N, D]`` and ``b[M, D]`` under the kernel ``(x y / D + 1)^3``.

    Binkowski et al., "Demystifying MMD GANs" (ICLR 2018), equation 4; here on the features of dlib's face network
    instead of Inception's, so it is comparable to no published KID. It can be slightly negative.
    """

    def kernel(x: Matrix, y: Matrix) -> npt.NDArray[np.float64]:
        return (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3

    def within(x: Matrix) -> float:
        values = kernel(x, x)
        return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())
