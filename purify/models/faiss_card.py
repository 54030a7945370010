"""FAISS's brute-force search on a card, where the package faiss-gpu is installed. Written, but run on no card yet."""

from __future__ import annotations

import torch
from torch import Tensor

#: Most neighbors that FAISS selects on a card.
_MOST = 2048


class FaissCard:
    """Search on a CUDA device by one thread: FAISS's resources can't be shared, and making them takes 0.1 s."""

    def __init__(self, device: torch.device) -> None:
        import faiss
        import faiss.contrib.torch_utils  # makes knn_gpu take tensors, on the stream on which they were made

        self._faiss, self._device = faiss, device
        self._resources = faiss.StandardGpuResources()

    def search(self, queries: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The `k` largest inner products of ``queries[q, D]`` with ``rows[n, D]``: values and places [q, k]."""
        with torch.cuda.device(self._device):
            values, places = self._faiss.knn_gpu(
                self._resources,
                queries.contiguous(),
                rows.contiguous(),
                k,
                metric=self._faiss.METRIC_INNER_PRODUCT,
                device=torch.cuda.current_device(),
            )
        return values, places


def faiss_card(device: torch.device, k: int) -> FaissCard | None:
    """FAISS on `device`; None if that is no CUDA device, FAISS has no cards, or `k` is too large for it."""
    if device.type != "cuda" or k > _MOST:
        return None
    import faiss

    return FaissCard(device) if getattr(faiss, "get_num_gpus", lambda: 0)() > 0 else None
