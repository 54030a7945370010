"""The ranks of a training: their shards of rows, and the collective operations between them.

A single process is a group of one: it runs the same code, and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Shard:
    """Rows ``start .. stop`` of `total`: one rank's share of a batch or of the classes."""

    start: int
    stop: int
    total: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        """The shard as an index."""
        return slice(self.start, self.stop)

    def local(self, index: Tensor) -> Tensor:
        """Global int64 indices -> indices into this shard; -1 outside it."""
        return torch.where((index >= self.start) & (index < self.stop), index - self.start, -1)


@dataclass(frozen=True)
class Ranks:
    """Own rank, and number of ranks. All ranks must make the same calls in the same order."""

    rank: int = 0
    size: int = 1

    def shard(self, total: int, rank: int | None = None) -> Shard:
        """Contiguous shard of `total` rows of a rank (default: this one); lengths differ by at most one."""
        rank = self.rank if rank is None else rank
        return Shard(total * rank // self.size, total * (rank + 1) // self.size, total)

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Sum over the ranks; `tensor` may be overwritten."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def all_reduce_max(self, tensor: Tensor) -> Tensor:
        """Elementwise maximum over the ranks; `tensor` may be overwritten."""
        if self.size > 1:
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return tensor

    def all_gather(self, tensor: Tensor) -> Tensor:
        """``tensor[...]`` of each rank, all of one shape -> [size, ...]."""
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor)
        return torch.stack(parts)

    def gather_rows(self, rows: Tensor, total: int) -> Tensor:
        """The ranks' shards of `total` rows -> all rows, in order, on every rank."""
        padded = rows.new_zeros(-(-total // self.size), *rows.shape[1:])
        padded[: len(rows)] = rows
        stacked = self.all_gather(padded)
        return torch.cat([stacked[rank, : len(self.shard(total, rank))] for rank in range(self.size)])

    def send(self, rows: Tensor) -> None:
        """Send this rank's rows to the first rank, which calls `receive`."""
        dist.send(rows.contiguous(), dst=0)

    def receive(self, rows: Tensor, total: int) -> Iterator[Tensor]:
        """On the first rank: its own `rows`, then those of each other rank, one rank at a time."""
        yield rows
        for rank in range(1, self.size):
            buffer = rows.new_empty(len(self.shard(total, rank)), *rows.shape[1:])
            dist.recv(buffer, src=rank)
            yield buffer


SINGLE_PROCESS = Ranks()
