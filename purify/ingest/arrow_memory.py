"""The allocator of Arrow's tables while a source is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


@contextmanager
def tight_arrow_memory() -> Iterator[None]:
    """Let Arrow take its memory from jemalloc, where its build has it, while the context is open.

    A manifest in memory grows by many small arrays. Of a set of 100,000 images, jemalloc holds them in about two thirds
    of the memory that mimalloc, the default, takes, and as fast. Of what only passes by, mimalloc gives more back.
    """
    before = pa.default_memory_pool()
    try:
        pool = pa.jemalloc_memory_pool()
    except NotImplementedError:  # Windows, macOS
        yield
        return
    pa.set_memory_pool(pool)
    try:
        yield
    finally:
        pa.set_memory_pool(before)
        pool.release_unused()
