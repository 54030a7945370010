"""Cosines of embeddings to the nearest of a class's K sub-centers, for a few classes or for millions.

Autograd would keep unit copies of all centers, all K cosines and the gradients of both: three to five times the
centers themselves. Large heads are therefore processed in chunks: products, not centers, are divided by the norms, and
of K cosines only the largest and its index are kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

#: Numbers in a chunk of centers: 8 MiB of float32, which stay in the CPU's cache between passes.
CHUNK_NUMBERS = 2**21
#: On a GPU: 128 MiB. Smaller products would be over before the next one is started.
_DEVICE_CHUNK_NUMBERS = 2**25
#: Minimum norm, that of `torch.nn.functional.normalize`.
_LEAST_NORM = 1e-12


def subcenter_cosines(embeddings: Tensor, centers: Tensor) -> Tensor:
    """``embeddings[N, D]``, ``centers[C, K, D]`` -> cosines [N, C, K] to every sub-center."""
    classes, subcenters, dim = centers.shape
    directions = F.normalize(centers.reshape(classes * subcenters, dim), dim=1)
    return F.linear(F.normalize(embeddings, dim=1), directions).view(len(embeddings), classes, subcenters)


def class_cosines(embeddings: Tensor, centers: Tensor) -> Tensor:
    """``embeddings[N, D]``, ``centers[C, K, D]`` -> cosines [N, C] to the nearest sub-center of each class.

    Neither needs unit rows. The gradient goes to the nearest sub-center alone. Heads of one chunk are left to autograd.
    """
    if centers.numel() <= _chunk_numbers(centers):
        return subcenter_cosines(embeddings, centers).amax(dim=2)
    cosines: Tensor = _ChunkedClassCosines.apply(F.normalize(embeddings, dim=1), centers)
    return cosines


def _chunk_numbers(centers: Tensor) -> int:
    return CHUNK_NUMBERS if centers.device.type == "cpu" else _DEVICE_CHUNK_NUMBERS


def _chunks(centers: Tensor) -> Iterator[slice]:
    classes, subcenters, dim = centers.shape
    step = max(1, _chunk_numbers(centers) // (subcenters * dim))
    return (slice(start, start + step) for start in range(0, classes, step))


class _ChunkedClassCosines(torch.autograd.Function):
    """``directions[N, D]`` of unit length, ``centers[C, K, D]`` -> cosines [N, C]."""

    @staticmethod
    def forward(ctx: FunctionCtx, directions: Tensor, centers: Tensor) -> Tensor:
        cosines = directions.new_empty(len(directions), len(centers))
        nearest = torch.zeros(cosines.shape, dtype=torch.int16, device=cosines.device)
        inverse_norms = centers.new_empty(centers.shape[:2])
        for part in _chunks(centers):
            chunk, best, index = centers[part], cosines[:, part], nearest[:, part]
            inverse = torch.linalg.vector_norm(chunk, dim=2).clamp_min_(_LEAST_NORM).reciprocal_()
            inverse_norms[part] = inverse
            torch.mul(directions @ chunk[:, 0].T, inverse[:, 0], out=best)
            for k in range(1, centers.shape[1]):
                rival = (directions @ chunk[:, k].T).mul_(inverse[:, k])
                index.masked_fill_(rival > best, k)
                torch.maximum(best, rival, out=best)
        ctx.save_for_backward(directions, centers, cosines, nearest, inverse_norms)
        return cosines

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """With c = x w / |w|: dc/dx = w / |w|, dc/dw = (x - c w / |w|) / |w|."""
        directions, centers, cosines, nearest, inverse_norms = ctx.saved_tensors  # type: ignore[attr-defined]
        to_directions, to_centers = torch.zeros_like(directions), torch.empty_like(centers)
        for part in _chunks(centers):
            for k in range(centers.shape[1]):
                chunk, inverse = centers[part, k], inverse_norms[part, k]
                scaled = (nearest[:, part] == k) * gradient[:, part] * inverse
                radial = (scaled * cosines[:, part]).sum(dim=0).mul_(inverse)
                torch.mm(scaled.T, directions, out=to_centers[part, k])
                to_centers[part, k].addcmul_(chunk, radial[:, None], value=-1)
                to_directions.addmm_(scaled, chunk)
        return to_directions, to_centers
