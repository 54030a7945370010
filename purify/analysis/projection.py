"""A sub-center head on a light linear projection, for embeddings of any extractor.

Given embeddings come without a trained head. This module fits one in seconds: the embeddings are centered and partly
whitened, and a square matrix and a sub-center head are trained on them.

The fit judges the rows it is trained on. Three things keep it from memorizing their noise:

* its capacity: one linear map on at most 128 principal axes, a few epochs, a smaller step for the map;
* its order: one center per class without margin first; then K sub-centers and a growing margin;
* its loss: one minus the probability of the label, robust to label noise (Ghosh, Kumar and Sastry, AAAI 2017). Its
  gradient is that of the cross-entropy times that probability, so rows with an unlikely label soon stop pulling its
  sub-centers, whereas they dominate the gradient of the cross-entropy. Alone it is slow to start; hence the start at
  the means of the classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from purify.analysis.class_rows import canonical_order
from purify.analysis.search import row_chunks
from purify.arrays import Floats, Ids, Vectors
from purify.errors import InputError
from purify.models.heads import Margin, SubcenterHead
from purify.models.logit_scale import default_scale

#: Bounds on d: in many dimensions a few rows can be fitted to any label.
_ROWS_PER_DIM = 8
_LEAST_DIM = 32
MAX_DIM = 128
#: Exponent of the whitening: 0 leaves the principal axes as they are, 1 makes them equally long.
_WHITENING = 0.75
#: Floor of the whitened variances, as a share of their mean, lest empty axes be blown up.
_VARIANCE_FLOOR = 0.1
_COVARIANCE_ROWS = 50_000

_EPOCHS = 14
_STEPS_PER_EPOCH = 32
_BATCH = (32, 1024)
_STEPS = (300, 2000)
#: Maximum classes competing in a step: the batch's own, and a random sample of the others.
_MAX_COMPETING = 2048
#: Lower than for a backbone: with few classes, a larger scale would tolerate large angles.
_MIN_SCALE = 4.0
_LEARNING_RATE = 2e-3
_PROJECTION_RATE = 0.3
_WARMUP_STEPS = 20
_MARGIN = 0.5
_SINGLE_CENTER_SHARE = 0.5
_RAMP_SHARE = 0.25
_SPREAD = 1.0


def fit_subcenters(
    embeddings: Vectors, label_index: Ids, *, classes: int, subcenters: int = 3, seed: int = 0
) -> tuple[Vectors, Vectors]:
    """Fit K sub-centers to each of C classes of finite ``embeddings[N, D]`` of any scale, in any order of the rows.

    A class without rows gets random sub-centers. The seed draws the batches and the perturbed copies of the centers.

    Returns
    -------
    tuple
        Unit vectors ``projected[N, d]`` and ``subcenters[C, K, d]``, where d is the smallest of D, 128, and an eighth
        of the rows (at least 32).

    Raises
    ------
    InputError
        If there are no samples, or all embeddings point the same way.
    """
    if not len(embeddings):
        raise InputError("there are no samples to analyze")
    order = canonical_order(embeddings, label_index)
    coordinates, start = _principal_coordinates(embeddings, order)
    generator = Generator().manual_seed(seed)
    labels = torch.from_numpy(label_index[order].astype(np.int64))
    projection = nn.Linear(len(start), len(start), bias=False)
    projection.weight = nn.Parameter(torch.from_numpy(np.diag(start)))
    head = _train(projection, torch.from_numpy(coordinates), labels, classes, subcenters, generator)
    projected = np.empty_like(coordinates)
    with torch.no_grad():
        for rows in row_chunks(len(order)):
            projected[order[rows]] = F.normalize(projection(torch.from_numpy(coordinates[rows])), dim=1).numpy()
        centers = F.normalize(head.weight, dim=2).numpy()
    return projected, centers


def _principal_coordinates(embeddings: Vectors, order: Ids) -> tuple[Vectors, Vectors]:
    """Principal coordinates [N, d] of the centered unit rows, in `order`; and factors [d] that shorten long axes."""
    rows = len(order)
    sample = embeddings[order[:: math.ceil(rows / _COVARIANCE_ROWS)]].astype(np.float64)
    first_mean = sample.mean(axis=0)
    directions = _unit(sample - first_mean)
    second_mean = directions.mean(axis=0)
    directions -= second_mean
    variances, axes = np.linalg.eigh(directions.T @ directions / len(directions))
    if variances[-1] <= np.finfo(np.float32).eps:
        raise InputError("all embeddings point the same way; check the extractor that wrote them")
    dim = min(embeddings.shape[1], MAX_DIM, max(_LEAST_DIM, rows // _ROWS_PER_DIM))
    longest = slice(None, -dim - 1, -1)
    floored = np.maximum(variances[longest], 0) + _VARIANCE_FLOOR * variances.mean()
    factors = floored ** (-_WHITENING / 2)
    factors *= math.sqrt(len(factors) / (factors**2).sum())
    axes = axes[:, longest]

    coordinates = np.empty((rows, len(factors)), np.float32)
    for part in row_chunks(rows):
        coordinates[part] = (_unit(embeddings[order[part]] - first_mean) - second_mean) @ axes
    return coordinates, factors.astype(np.float32)


def _unit(vectors: Floats) -> Floats:
    """Rows of length 1; a row of zeros stays one."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _train(
    projection: nn.Linear, coordinates: Tensor, labels: Tensor, classes: int, subcenters: int, generator: Generator
) -> SubcenterHead:
    """Train `projection`, in place, and a head: one center per class first, then `subcenters` and the margin."""
    batch = min(max(len(labels) // _STEPS_PER_EPOCH, _BATCH[0]), _BATCH[1], len(labels))
    steps = min(max(_EPOCHS * len(labels) // batch, _STEPS[0]), _STEPS[1])
    grow_step = round(_SINGLE_CENTER_SHARE * steps)

    scale = default_scale(classes, least=_MIN_SCALE)
    head = SubcenterHead(classes, projection.out_features, scale=scale, generator=generator)
    _start_at_means(head, projection, coordinates, labels)
    optimizer = _optimizer(projection, head)
    for step, rows in enumerate(_batches(len(labels), batch, steps, generator)):
        if step == grow_step:
            noise = torch.randn(classes, subcenters - 1, projection.out_features, generator=generator)
            head.grow(noise, spread=_SPREAD)
            optimizer = _optimizer(projection, head)
        _set_rates(optimizer, step, steps)
        head.margin = Margin(m2=_MARGIN * min(1.0, max(0.0, (step - grow_step) / (_RAMP_SHARE * steps))))
        logits, target = _compete(head, projection(coordinates[rows]), labels[rows], generator)
        loss = _noise_tolerant_loss(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head


def _start_at_means(head: SubcenterHead, projection: nn.Linear, coordinates: Tensor, labels: Tensor) -> None:
    """Start the centers at the means of their classes, or at random for a class without rows."""
    with torch.no_grad():
        means = torch.zeros_like(head.weight[:, 0])
        for rows in row_chunks(len(labels)):
            means.index_add_(0, labels[rows], F.normalize(projection(coordinates[rows]), dim=1))
        found = means.norm(dim=1) > 0
        head.weight[found, 0] = F.normalize(means[found], dim=1)
        head.weight[~found, 0] = F.normalize(head.weight[~found, 0], dim=1)


def _optimizer(projection: nn.Linear, head: SubcenterHead) -> torch.optim.Adam:
    groups = [{"params": projection.parameters(), "share": _PROJECTION_RATE}, {"params": [head.weight], "share": 1.0}]
    return torch.optim.Adam(groups, lr=_LEARNING_RATE, betas=(0.9, 0.99))


def _set_rates(optimizer: torch.optim.Optimizer, step: int, steps: int) -> None:
    """A short linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / _WARMUP_STEPS)
    rate = _LEARNING_RATE * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


def _batches(rows: int, batch: int, steps: int, generator: Generator) -> Iterator[Tensor]:
    """`steps` index tensors of length `batch`, reshuffled in each epoch."""
    order, used = torch.randperm(rows, generator=generator), 0
    for _ in range(steps):
        if used + batch > rows:
            order, used = torch.randperm(rows, generator=generator), 0
        yield order[used : used + batch]
        used += batch


def _compete(head: SubcenterHead, embeddings: Tensor, labels: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Logits and targets over all classes, or over the batch's own and a random sample of the others."""
    classes = head.weight.shape[0]
    if classes <= _MAX_COMPETING:
        return head(embeddings, labels), labels
    own = torch.unique(labels)
    others = torch.randint(classes, (_MAX_COMPETING - len(own),), generator=generator)
    chosen = torch.unique(torch.cat([own, others]))
    target = torch.searchsorted(chosen, labels)
    return torch.func.functional_call(head, {"weight": head.weight[chosen]}, (embeddings, target)), target


def _noise_tolerant_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean of 1 - p, p the softmax probability of the target."""
    return 1 - torch.exp(-F.cross_entropy(logits, target, reduction="none")).mean()
