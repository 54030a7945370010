"""Shards of embeddings, written while the next ones are computed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from purify.arrays import Vectors
from purify.embedding.blocks import Block, save_array


class ShardWriter:
    """Gathers the embeddings of `blocks` in their order, and writes each block's file once it is whole.

    At most one file is being written. PurifyError of a write that failed, at the next file or at the end.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = iter(blocks)
        self._parts: list[Vectors] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._written: Future[None] | None = None
        self._block = next(self._blocks, None)

    def __enter__(self) -> Self:
        return self

    def add(self, vectors: Vectors) -> None:
        """Append embeddings [n, D] of the present block."""
        self._parts.append(vectors)
        if self._block is not None and sum(map(len, self._parts)) == self._block.rows:
            self._wait()
            self._written = self._pool.submit(save_array, Path(self._block.out), np.concatenate(self._parts))
            self._parts, self._block = [], next(self._blocks, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if error is None:
            self._wait()

    def _wait(self) -> None:
        if self._written is not None:
            self._written.result()
