"""The ranks of a training, and the few things that they tell each other.

A single process is a world of one: nothing is sent, and the same code computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Part:
    """The rows ``start .. stop`` of `total`: what one rank has of a batch or of the classes."""

    start: int
    stop: int
    total: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        """As an index."""
        return slice(self.start, self.stop)

    def local(self, index: Tensor) -> Tensor:
        """int64 indices into the total -> into this part; -1 for those that are not in it."""
        return torch.where((index >= self.start) & (index < self.stop), index - self.start, -1)


@dataclass(frozen=True)
class World:
    """Rank and number of the processes that train together. Every rank has to make the same calls, in order."""

    rank: int = 0
    size: int = 1

    def part(self, total: int, rank: int | None = None) -> Part:
        """What a rank (this one, if not said) has of `total` rows: contiguous, and of equal length give or take one."""
        rank = self.rank if rank is None else rank
        return Part(total * rank // self.size, total * (rank + 1) // self.size, total)

    def add(self, tensor: Tensor) -> Tensor:
        """Sum of the ranks' tensors of one shape; `tensor` may be overwritten."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def largest(self, tensor: Tensor) -> Tensor:
        """Elementwise maximum over the ranks; `tensor` may be overwritten."""
        if self.size > 1:
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return tensor

    def stack(self, tensor: Tensor) -> Tensor:
        """``tensor[...]`` of each rank, all of one shape -> [size, ...]."""
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor)
        return torch.stack(parts)

    def join(self, rows: Tensor, total: int) -> Tensor:
        """The ranks' parts of `total` rows -> all rows, in order."""
        if self.size == 1:
            return rows
        padded = rows.new_zeros(-(-total // self.size), *rows.shape[1:])
        padded[: len(rows)] = rows
        stacked = self.stack(padded)
        return torch.cat([stacked[rank, : len(self.part(total, rank))] for rank in range(self.size)])

    def send(self, rows: Tensor) -> None:
        """Send the rank's rows to the first rank, which takes them from `received`."""
        dist.send(rows.contiguous(), dst=0)

    def received(self, rows: Tensor, total: int) -> Iterator[Tensor]:
        """On the first rank: its own `rows`, then those of each other rank, one rank's at a time."""
        yield rows
        for rank in range(1, self.size):
            buffer = rows.new_empty(len(self.part(total, rank)), *rows.shape[1:])
            dist.recv(buffer, src=rank)
            yield buffer


#: One process.
ALONE = World()
