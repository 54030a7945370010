"""A noisy set that a test can make in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from purify.analysis.search import one_blas_thread


@dataclass(frozen=True)
class NoisySet:
    """Gaussian classes on a sphere; `true_index` is -1 for outliers."""

    sample_ids: list[str]
    embeddings: npt.NDArray[np.float32]
    label_index: npt.NDArray[np.int64]
    true_index: npt.NDArray[np.int64]
    class_labels: list[str]
    subcenters: npt.NDArray[np.float32]

    @property
    def labels(self) -> list[str]:
        return [self.class_labels[i] for i in self.label_index]


def _make_noisy_set(
    seed: int, *, classes: int = 6, images: int = 12, dim: int = 16, subcenters: int = 3, noise: float = 0.3
) -> NoisySet:
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(classes, dim))
    label = np.repeat(np.arange(classes), images)
    true = label.copy()
    flipped = rng.random(len(label)) < noise / 2
    true[flipped] = rng.integers(0, classes, flipped.sum())
    outlier = rng.random(len(label)) < noise / 2
    true[outlier] = -1
    position = np.where(outlier[:, None], rng.normal(size=(len(label), dim)), centers[true])
    embeddings = (position + 0.35 * rng.normal(size=position.shape)) * rng.uniform(0.5, 20, (len(label), 1))
    spread = rng.normal(size=(classes, subcenters, dim)) * np.linspace(0.2, 1.5, subcenters)[:, None]
    return NoisySet(
        sample_ids=[f"{rng.integers(1 << 40):012x}-{i}" for i in range(len(label))],
        embeddings=embeddings.astype(np.float32),
        label_index=label.astype(np.int64),
        true_index=true,
        class_labels=[f"class {i}" for i in range(classes)],
        subcenters=(centers[:, None] + spread).astype(np.float32),
    )


@pytest.fixture(scope="session")
def make_noisy_set() -> Callable[..., NoisySet]:
    """Builder: ``make_noisy_set(seed, classes=, images=, dim=, subcenters=, noise=)``."""
    return _make_noisy_set


@pytest.fixture
def noisy_set() -> NoisySet:
    return _make_noisy_set(0)


@pytest.fixture(autouse=True, scope="session")
def _one_blas_thread() -> Iterator[None]:
    """As in `analyze`, for the tests of its parts."""
    with one_blas_thread():
        yield
