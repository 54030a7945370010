"""The child of the campaign: a run or a command in a process of its own, to which a fault happens inside a stage.

It comes from a fork server that has imported everything and computed nothing, so that a kill costs a tenth of a second.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from click.testing import CliRunner

from purify.analysis import projection
from purify.cli.app import main as command_line
from purify.config import PurifyConfig
from purify.errors import PurifyError
from purify.ingest import crop_check
from purify.pipeline.request import RunRequest
from purify.pipeline.run import bring_up_to_date
from purify.pipeline.steps import Steps, threads
from purify.storage.run_folder import RunFolder
from purify.tables.reviews import merge_reviews, update_reviews
from purify.tables.schema import REVIEWS

#: Exit code of a traceback.
FAULTY = 70
#: Name of the stage of an action that has none.
WHOLE = "all"
_WRITES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")


@dataclass(frozen=True)
class Fault:
    """What happens, in which stage, and when: after some seconds of it, or at one of its writes (from 1)."""

    kind: str = "none"
    stage: str = ""
    seconds: float = 0.0
    write: int = 0


@dataclass(frozen=True)
class Work:
    """What the child does, and where it notes what it did.

    `action` is ``run``, ``review`` or ``command``, `values` its arguments; `notes` gets a line of JSON for each stage
    and each saved review.
    """

    action: str
    folder: Path
    values: dict[str, Any]
    notes: Path
    scratch: Path
    fault: Fault = field(default_factory=Fault)


class _Stage:
    """Watches the stages of this process, counts their writes, and inflicts the fault."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._active = ""
        self._writes = 0
        self._met: set[str] = set()
        sys.addaudithook(self._see)

    def note(self, **values: Any) -> None:
        """Add a line to the notes, at once."""
        descriptor = os.open(self._work.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, json.dumps(values).encode() + b"\n")
        os.close(descriptor)

    def watched(self, name: str, stage: Callable[..., Any]) -> Callable[..., Any]:
        """The stage with the fault inside."""

        def run(*arguments: Any, **values: Any) -> Any:
            fault = self._work.fault
            if fault.kind == "snapshot" and name not in self._met and self._work.folder.exists():
                shutil.copytree(self._work.folder, self._work.values["snapshots"] / name, symlinks=True)
            first, began = name not in self._met, time.monotonic()
            self._met.add(name)
            if first and fault.stage == name:
                self.note(begun=name)
                self._begin(fault)
                self._writes = 0
            outer, self._active, before = self._active, self._active or name, self._writes
            try:
                return stage(*arguments, **values)
            finally:
                self._active = outer
                self.note(stage=name, seconds=time.monotonic() - began, writes=self._writes - before)

        return run

    def _begin(self, fault: Fault) -> None:
        """Do what happens at the beginning of the stage, and start the clock."""
        source = Path(self._work.values.get("source", ""))
        match fault.kind:
            case "vanish":
                source.rename(source.with_name("away"))
            case "wait":
                deadline = time.monotonic() + 120
                while not self._work.notes.with_name("go").exists() and time.monotonic() < deadline:
                    time.sleep(0.01)
            case "kill" | "SIGINT" | "SIGTERM" | "kill rank" if not fault.write:
                threading.Timer(fault.seconds, self._strike, [fault.kind]).start()

    def _strike(self, kind: str) -> None:
        if kind == "kill rank":
            for child in _children():
                os.kill(child, signal.SIGKILL)
        else:
            os.kill(os.getpid(), {"kill": signal.SIGKILL}.get(kind) or signal.Signals[kind])

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        fault = self._work.fault
        if not self._active or not _is_write(event, arguments):
            return
        if fault.stage and fault.stage not in (self._active, WHOLE):
            return
        self._writes += 1
        if not fault.write or fault.stage not in self._met:
            return
        if fault.kind == "kill" and self._writes == fault.write:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.kind == "no space" and self._writes >= fault.write and event != "os.remove":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))


def act(work: Work, output: Path) -> None:
    """Do the work; the exit code is that of the command line, or `FAULTY` after a traceback."""
    # Few steps for the fit of sub-centers, in every child alike: no fault depends on how well they fit.
    projection._STEPS = (20, 20)
    # Nor on the search for faces in pictures of noise, which took two thirds of a run.
    crop_check._LEAST_FACES = sys.maxsize
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    tempfile.tempdir = os.environ["TMPDIR"] = str(work.scratch)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stage, code = _Stage(work), 0
    try:
        {"run": _run, "review": _review, "command": _command}[work.action](work, stage)
    except PurifyError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        code = error.exit_code
    except OSError as error:  # as the command line says it
        print(f"{error.filename or 'file system'}: {error.strerror or error}", flush=True)
        code = 1
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        code = 130
    except BaseException:  # noqa: BLE001 - this is what we count
        traceback.print_exc()
        code = FAULTY
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    stage.note(peak=peak // 1024)
    sys.stdout.flush()
    os._exit(code)


def _run(work: Work, stage: _Stage) -> None:
    values = work.values
    config = PurifyConfig.model_validate(values["config"])
    request = RunRequest.of(values["source"], str(work.folder), config, embeddings=values.get("embeddings"))
    run, plain = RunFolder.at(request.run_folder), Steps()
    steps = Steps(**{one.name: stage.watched(one.name, getattr(plain, one.name)) for one in fields(Steps)})
    if work.fault.stage != "report" and not values.get("reports"):  # half of the time, and no file that others read
        steps = replace(steps, report=lambda run: run.report)
    with run.lock(), threads(config.train.parallel) as pool:
        bring_up_to_date(run, request, pool, steps=steps)


def _review(work: Work, stage: _Stage) -> None:
    """Save reviews one after the other, as the review page does, and note each that is saved."""

    def save() -> None:
        for number, name in enumerate(work.values["samples"]):
            review = pa.table([[name], ["keep"], [None], [f"me {number}"], [None]], schema=REVIEWS)
            update_reviews(work.folder / "reviews.parquet", lambda present, new=review: merge_reviews(present, new))
            stage.note(saved=name)

    stage.watched(WHOLE, save)()


def _command(work: Work, stage: _Stage) -> None:
    result = stage.watched(WHOLE, lambda: CliRunner().invoke(command_line, work.values["arguments"]))()
    print(result.output, flush=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code:
        os._exit(result.exit_code)


def _is_write(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        path, mode, flags = arguments
        named = isinstance(path, str | bytes | os.PathLike) and not os.fspath(path).__str__().startswith("/dev/")
        writes = bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) or bool(set(mode or "") & set("wax+"))
        return named and writes and "notes" not in str(path)
    return event in _WRITES


def _children() -> list[int]:
    here = os.getpid()
    return [int(child) for child in Path(f"/proc/{here}/task/{here}/children").read_text().split()] or [
        int(pid) for task in Path(f"/proc/{here}/task").iterdir() for pid in (task / "children").read_text().split()
    ]
