"""Inspection in processes: for small images, the interpreter's lock binds threads more than their decoder does.

``python -m purify.ingest.inspection_processes PIPE`` is such a process. It takes chunks of uris from the pipe and
answers on standard output, both as Arrow streams; it reads the images itself, and ends with its parent.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any, TextIO, cast

import pyarrow as pa

from purify.errors import PurifyError, named_error
from purify.images.pixel_budget import DECODING
from purify.ingest.chunk_inspection import CHUNK, ChunkInspector, Limits
from purify.processes import ChildProcess, end_with_parent, place_of, start_child
from purify.storage.image_bytes import ImageByteReader
from purify.tables.schema import INSPECTIONS

#: Pixels of images that are left to the threads of the parent, where they share one budget.
_LARGE = 1 << 22
_ERROR = b"error"
_REQUEST = pa.schema([pa.field("uri", pa.string()), pa.field("problem", pa.string())])


class InspectionProcesses:
    """Processes that inspect chunks of images, each one at a time; started when they are first needed."""

    def __init__(self, count: int, limits: Limits) -> None:
        self._limits = limits
        self._children: list[_Inspecting] = []
        self._lock = Lock()
        self._is_closed = False
        self._free: SimpleQueue[_Inspecting | None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def __enter__(self) -> InspectionProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_closed = True
        for child in self._children:
            child.stop()

    def inspect(
        self, uris: Sequence[str | None], problems: Sequence[str | None], reader: ImageByteReader
    ) -> pa.RecordBatch | None:
        """As `ChunkInspector.inspect`, in a free process, with null as the status of large images.

        None if another process can't read these images at once; `reader` knows their places.
        """
        places = reader.for_another_process([uri for uri in uris if uri is not None])
        if places is None:
            return None
        rest = iter(places)
        child = self._free.get()
        try:
            child = child or self._start()
            return child.inspect([None if uri is None else next(rest) for uri in uris], problems)
        finally:
            self._free.put(child)

    def _start(self) -> _Inspecting:
        with self._lock:
            if self._is_closed:
                raise PurifyError("the ingest has ended")
            self._children.append(_Inspecting(self._limits))
            return self._children[-1]


class _Inspecting:
    """A process, and the streams to and from it."""

    def __init__(self, limits: Limits) -> None:
        read_end, write_end = os.pipe()
        self._to = os.fdopen(write_end, "wb")
        with os.fdopen(read_end, "rb") as requests:
            one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
            self._child = ChildProcess(start_child(__name__, place_of(requests), one_thread, files=[requests]))
        metadata = {"limits": json.dumps(limits)}
        self._requests = pa.ipc.new_stream(self._to, _REQUEST.with_metadata(metadata))
        self._answers: Any = None

    def inspect(self, uris: Sequence[str | None], problems: Sequence[str | None]) -> pa.RecordBatch:
        columns = [pa.array(values, pa.string()) for values in (uris, problems)]
        try:
            self._requests.write_batch(pa.record_batch(columns, schema=_REQUEST))
            self._to.flush()
            if self._answers is None:
                self._answers = pa.ipc.open_stream(cast(TextIO, self._child.process.stdout).buffer)
            answer, metadata = self._answers.read_next_batch_with_custom_metadata()
        except (OSError, StopIteration, pa.ArrowException) as error:
            code = self._child.process.wait()
            raise PurifyError(
                f"a process that read images ended with exit code {code} (negative: killed by that signal; 9 often "
                "means that memory ran out: use fewer ingest.workers)"
            ) from error
        if metadata:
            raise named_error(*json.loads(metadata[_ERROR]))
        return answer

    def stop(self) -> None:
        self._child.stop()
        self._child.process.__exit__(None, None, None)  # closes its pipes
        with suppress(OSError):  # what a killed process didn't take
            self._to.close()


def main(path: str) -> None:
    """Inspect the chunks that come through the pipe at `path`, up to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    end_with_parent()
    DECODING.leave_above(_LARGE)
    with Path(path).open("rb") as pipe, ImageByteReader() as reader:
        requests = pa.ipc.open_stream(pipe)
        limits = Limits(*json.loads(requests.schema.metadata[b"limits"]))
        inspector = ChunkInspector(reader, limits, INSPECTIONS.empty_table())
        answers = pa.ipc.new_stream(sys.stdout.buffer, CHUNK)
        for request in requests:
            try:
                answers.write_batch(inspector.inspect(*(column.to_pylist() for column in request.columns)))
            except PurifyError as error:
                failure = json.dumps([type(error).__name__, str(error)])
                answers.write_batch(pa.RecordBatch.from_pylist([], schema=CHUNK), custom_metadata={_ERROR: failure})
            sys.stdout.buffer.flush()
    os._exit(0)  # at once: the thread that watches the parent still reads


if __name__ == "__main__":
    main(sys.argv[1])
