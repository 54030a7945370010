"""The rows of a matrix nearest to each of many queries: exact, in blocks, on a CPU, a GPU or several.

A product of a block of queries and a block of rows is all that exists at a time. Where faiss-gpu is installed its
brute-force search takes the place of product and selection; the answer is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from purify.models.faiss_card import FaissCard, faiss_card
from purify.models.transfers import to_device

#: Numbers of a product: 16 MiB of float32 on a CPU, 1 GiB on a GPU.
_CPU_BLOCK, _DEVICE_BLOCK = 2**22, 2**28
#: Queries of a product, rows copied at once, and the share of a card's free memory that rows may take.
_QUERIES, _COPIED, _SHARE = 4096, 2**17, 0.5
#: Best cosines [q, k] of some queries, descending, and their rows.
_Best = tuple[Tensor, Tensor]


def top_cosines(
    queries: npt.NDArray[Any],
    vectors: npt.NDArray[Any],
    k: int,
    *,
    device: torch.device | str | Sequence[torch.device | str] = "cpu",
    block: int | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The k rows of `vectors` with the largest inner products, computed in float32 (no TF32), for each query.

    Parameters
    ----------
    queries
        ``[Q, D]``, float16 or float32, of unit length (else these are inner products, not cosines).
    vectors
        ``[N, D]``, likewise; may be memory-mapped. A card gets as many rows at once as half of its free memory holds,
        in the dtype they have.
    k
        How many; at most N are returned.
    device
        Where to compute; ``cuda`` means all cards, over which the rows are divided; or several devices.
    block
        Numbers of a product in memory; None: 2**22 on a CPU, 2**28 on a card. Changes nothing but rounding.

    Returns
    -------
    cosines : ndarray
        ``float32[Q, min(k, N)]``, descending.
    rows : ndarray
        ``int64[Q, min(k, N)]``; of equal cosines the lowest rows, ascending.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]]
    >>> cosines, nearest = top_cosines(rows[1:2], rows, 3)
    >>> nearest.tolist(), cosines.tolist()
    ([[1, 2, 0]], [[1.0, 1.0, 0.0]])
    """
    places, k = _devices(device), min(k, len(vectors))
    bounds = np.linspace(0, len(vectors), len(places) + 1).astype(int).tolist()
    shards = [slice(start, stop) for start, stop in pairwise(bounds)]
    with _exact_products(), ThreadPoolExecutor(len(places)) as pool:
        found = pool.map(lambda place, rows: _search(queries, vectors, rows, k, place, block), places, shards)
        best: _Best | None = None
        for shard in found:
            best = _merged(best, shard, k)
    assert best is not None
    return best[0].numpy(), best[1].numpy()


def _devices(device: torch.device | str | Sequence[torch.device | str]) -> list[torch.device]:
    if not isinstance(device, torch.device | str):
        return [torch.device(each) for each in device]
    place = torch.device(device)
    if place.type != "cuda" or place.index is not None:
        return [place]
    return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]


@contextmanager
def _exact_products() -> Iterator[None]:
    """Products of float32 as such: TF32 keeps only 10 bits of the fraction."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@torch.inference_mode()
def _search(
    queries: npt.NDArray[Any],
    vectors: npt.NDArray[Any],
    rows: slice,
    k: int,
    device: torch.device,
    block: int | None,
) -> _Best:
    """Best of the shard `rows` of `vectors`, on the host."""
    numbers = block or (_CPU_BLOCK if device.type == "cpu" else _DEVICE_BLOCK)
    step = max(1, min(_QUERIES, len(queries), numbers))
    parts = [queries[start : start + step] for start in range(0, max(1, len(queries)), step)]
    best: list[_Best | None] = [None] * len(parts)
    columns, card = max(1, numbers // step), faiss_card(device, k + 1)
    for slab in _slabs(vectors, rows, device):
        held = _copied(vectors[slab], device)
        for number, part in enumerate(parts):
            asked, found = _copied(part, device).float(), None
            for first in range(0, len(held), columns):
                some = held[first : first + columns].float()
                cosines, places = _best_of(asked, some, min(k, len(some)), card)
                found = _merged(found, (cosines, places + (slab.start + first)), k)
            if found is not None:
                best[number] = _merged(best[number], (found[0].cpu(), found[1].cpu()), k)
    whole = [found for found in best if found is not None]
    none = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    return (torch.cat([each[0] for each in whole]), torch.cat([each[1] for each in whole])) if whole else none


def _copied(rows: npt.NDArray[Any], device: torch.device) -> Tensor:
    """``rows[n, D]`` on `device`, a part at a time: of a memory map no more than that part gets into memory."""
    held = torch.empty(rows.shape, dtype=torch.from_numpy(np.empty(0, rows.dtype)).dtype, device=device)
    for first in range(0, len(rows), _COPIED):
        some = np.array(rows[first : first + _COPIED])
        held[first : first + len(some)] = to_device(torch.from_numpy(some), device)
    return held


def _slabs(vectors: npt.NDArray[Any], rows: slice, device: torch.device) -> Iterator[slice]:
    """Parts of `rows` that a device holds at once."""
    step = _COPIED
    if device.type == "cuda":
        step = max(1, int(torch.cuda.mem_get_info(device)[0] * _SHARE) // (vectors.shape[1] * vectors.itemsize))
    return (slice(start, min(start + step, rows.stop)) for start in range(rows.start, rows.stop, step))


def _best_of(queries: Tensor, rows: Tensor, k: int, card: FaissCard | None) -> _Best:
    """The best `k` of ``rows[n, D]`` for ``queries[q, D]``; of equal ones the lowest, whichever the selection took."""
    most = min(k + 1, len(rows))
    if card is None:
        scores = queries @ rows.T
        values, places = scores.topk(most, dim=1)
    else:
        values, places = card.search(queries, rows, most)
    if most > k:
        cut = (values[:, k - 1] == values[:, k]).nonzero().squeeze(1)  # which of the equal ones were left out?
        values, places = values[:, :k].contiguous(), places[:, :k].contiguous()
        if len(cut):
            again = scores[cut] if card is None else queries[cut] @ rows.T
            values[cut], places[cut] = _lowest_of_equal(again, k)
    order = places.argsort(dim=1)
    values, places = values.gather(1, order), places.gather(1, order)
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)


def _lowest_of_equal(scores: Tensor, k: int) -> _Best:
    """The best `k` of ``scores[q, n]``, in the order of their places."""
    limit = scores.topk(k, dim=1).values[:, -1:]
    above, equal = scores > limit, scores == limit
    wanted = k - above.sum(dim=1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= wanted))
    places = chosen.nonzero()[:, 1].view(len(scores), k)
    return scores.gather(1, places), places


def _merged(first: _Best | None, second: _Best, k: int) -> _Best:
    """The best `k` of two answers, of which the first has the lower rows."""
    if first is None:
        return second
    values, order = torch.cat([first[0], second[0]], dim=1).sort(dim=1, descending=True, stable=True)
    rows = torch.cat([first[1], second[1]], dim=1).gather(1, order)
    return values[:, :k], rows[:, :k]
