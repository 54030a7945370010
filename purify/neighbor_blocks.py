"""The neighbor search on files: an index that is written once, and blocks of queries that any process can search."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from purify.analysis.neighbors import NeighborQuery, SearchBlocks, search_block, search_here
from purify.embedding.blocks import RunBlocks, load_result, run_pending, save_array
from purify.progress import Progress, silent
from purify.storage.files import atomic_path

#: With fewer rows the search takes seconds: less than the start of other processes.
LEAST_ROWS = 50_000
_INDEX = "index.faiss"
_VECTORS = "vectors.npy"
_LABELS = "labels.npy"


@dataclass(frozen=True)
class SearchBlock:
    """Some rows whose neighbors are searched.

    Attributes
    ----------
    folder
        Holds the index, the vectors and the labels of all rows; its name says which they are.
    start, stop
        The rows.
    k, near_duplicate
        As `find_neighbors` takes them.
    out
        The ``.npy`` file, int32 [rows, k + 1], as `search_block` gives it.
    """

    folder: str
    start: int
    stop: int
    k: int
    near_duplicate: float
    out: str

    @property
    def name(self) -> str:
        """``neighbors START-STOP``."""
        return f"neighbors {self.start}-{self.stop}"

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    def run(self, progress: Progress = silent) -> None:
        """Search the rows in the index."""
        index, vectors, labels = _load(self.folder)
        query = NeighborQuery(vectors, labels, self.k, self.near_duplicate)
        save_array(Path(self.out), search_block(index, query, slice(self.start, self.stop)))
        progress(self.rows, self.rows)


def search_in_blocks(
    folder: Path, run_blocks: RunBlocks, *, least_rows: int = LEAST_ROWS, progress: Progress = silent
) -> SearchBlocks:
    """A search that leaves blocks of queries to `run_blocks`; of less than `least_rows` rows, the one in this process.

    Its files are kept in a folder whose name begins with that of `folder` and goes on with a hash of the query, so
    that after a kill finished blocks are not searched again. It is removed when all answers have been taken.
    """

    def search(query: NeighborQuery) -> Iterator[npt.NDArray[np.int32]]:
        if len(query.embeddings) < least_rows:
            yield from search_here(query)
            return
        place = folder.with_name(f"{folder.name}-{_digest(query)[:16]}").resolve()
        _write(query, place)
        blocks = [
            SearchBlock(
                folder=str(place),
                start=rows.start,
                stop=rows.stop,
                k=query.k,
                near_duplicate=query.near_duplicate,
                out=str(place / f"{rows.start:09d}.npy"),
            )
            for rows in query.blocks()
        ]
        run_pending(blocks, run_blocks, progress)
        _load.cache_clear()
        for block in blocks:
            yield load_result(Path(block.out))
        shutil.rmtree(place)

    return search


def _digest(query: NeighborQuery) -> str:
    """What decides the answers: the vectors, the labels, and the settings."""
    settings = [query.embeddings.shape, query.k, query.near_duplicate, query.exact_rows]
    digest = hashlib.sha256(json.dumps(settings).encode())
    digest.update(np.ascontiguousarray(query.embeddings).data)
    digest.update(np.ascontiguousarray(query.label_index).data)
    return digest.hexdigest()


def _write(query: NeighborQuery, folder: Path) -> None:
    """Write what the blocks read; the index last, which may take minutes and is not made again."""
    if (folder / _INDEX).exists():
        return
    save_array(folder / _VECTORS, query.embeddings)
    save_array(folder / _LABELS, query.label_index)
    with atomic_path(folder / _INDEX) as temporary:
        faiss.write_index(query.index(), str(temporary))


@lru_cache(maxsize=1)
def _load(folder: str) -> tuple[faiss.Index, npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Index, vectors and labels that this process used last, if they are the ones; the vectors stay on disk."""
    place = Path(folder)
    index = faiss.read_index(str(place / _INDEX))
    vectors = np.load(place / _VECTORS, mmap_mode="r", allow_pickle=False)
    return index, vectors, np.load(place / _LABELS, allow_pickle=False)
