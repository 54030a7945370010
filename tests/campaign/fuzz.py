"""Many damaged inputs for every reader: counts of what was read, refused, and wrong.

Each reader runs in a process of its own, so that a crash, a hang and a peak of memory are its own. Wrong is any error
that isn't ours, more than five seconds of CPU for one input, a crash, or more memory than the bound.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.campaign.readers import Reader, groups, try_reader

_SECONDS = 5.0
#: Peak of a reader's process above what it needs for whole inputs.
_MOST_MB = 700
_SHOWN = 5


@dataclass(frozen=True)
class Options:
    """How much of what is fuzzed; without names, all."""

    inputs: int
    seconds: float
    seed: int = 0
    keep: Path | None = None
    groups: Sequence[str] = ()
    names: Sequence[str] = ()


class _HangError(Exception):
    """One input took more than its seconds of CPU."""


def run_reader(reader: Reader, folder: Path, seed: int, count: int, seconds: float) -> dict[str, Any]:
    """Counts of one reader; it ends after `count` inputs, or after `seconds` of CPU."""
    counts: Counter[str] = Counter()
    wrong: dict[str, bytes] = {}
    last = [b""]
    began, memory = time.process_time(), _peak_mb()

    def each(data: bytes) -> None:
        last[0] = data
        (folder / "last").write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)

    def hang(*_: object) -> None:
        raise _HangError

    signal.signal(signal.SIGPROF, hang)
    rnd = random.Random(f"{seed} {reader.name}")
    while sum(counts.values()) < count and time.process_time() - began < seconds:
        batch = min(200, count - sum(counts.values()))
        place = Path(tempfile.mkdtemp(dir=folder))
        try:
            for outcome in try_reader(reader, place, rnd, batch, each):
                counts[outcome] += 1
                if time.process_time() - began > seconds:
                    break
        except Exception as error:  # noqa: BLE001 - whatever a reader raises is what we look for
            counts["wrong"] += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            wrong.setdefault(f"{type(error).__name__}: {str(error)[:200]} ({where.name}:{where.lineno})", last[0])
        signal.setitimer(signal.ITIMER_PROF, 0)
        shutil.rmtree(place, ignore_errors=True)
    return {
        "counts": dict(counts),
        "wrong": wrong,
        "seconds": time.process_time() - began,
        "peak": _peak_mb() - memory,
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _child(group: str, skipped: list[str], folder: Path, options: Options, answer: Any) -> None:
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders speak of every damaged file
    (place := Path(tempfile.mkdtemp(dir=folder))).mkdir(exist_ok=True)
    for reader in groups()[group](place):
        if reader.name not in skipped and (not options.names or reader.name in options.names):
            answer.send((reader.name, None))
            count = max(20, round(options.inputs * reader.weight))
            answer.send((reader.name, run_reader(reader, folder, options.seed, count, options.seconds)))


def _answers(group: str, folder: Path, options: Options) -> Iterator[tuple[str, dict[str, Any]]]:
    """The counts of each reader of a group; one whose process dies is counted, and left out of the next process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.campaign.readers"])
    done: list[str] = []
    while True:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(group, done, folder, options, sender))
        process.start()
        sender.close()
        name = ""
        try:
            while True:
                name, answer = receiver.recv()
                if answer is not None:
                    done.append(name)
                    yield name, answer
        except EOFError:
            process.join()
        if process.exitcode == 0:
            return
        if not name or name in done:
            raise RuntimeError(f"the readers of {group} can't be drawn: exit code {process.exitcode}")
        done.append(name)
        last = {f"its process ended with {process.exitcode}": (folder / "last").read_bytes()}
        yield name, {"counts": {"wrong": 1}, "wrong": last, "seconds": 0.0, "peak": 0.0}


def fuzz(options: Options) -> tuple[int, list[str]]:
    """Fuzz all readers; prints a line each. Returns the number of inputs, and what was wrong."""
    total, wrong = 0, []
    print(f"{'reader':<24}{'inputs':>9}{'read':>9}{'refused':>9}{'wrong':>7}{'CPU s':>8}{'+MB':>7}")
    for group in groups():
        if options.groups and group not in options.groups:
            continue
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            for name, answer in _answers(group, Path(folder), options):
                total += _told(name, answer, options.keep)
                wrong += [f"{name}: {what}" for what in answer["wrong"]]
    print(f"{total} inputs, {len(wrong)} kinds of wrong answers", flush=True)
    return total, wrong


def _told(name: str, answer: dict[str, Any], keep: Path | None) -> int:
    """Print a reader's counts, and keep the inputs of its wrong answers; the number of its inputs."""
    counts, peak = answer["counts"], answer["peak"]
    if peak > _MOST_MB:
        answer["wrong"][f"{peak:.0f} MB"] = b""
        counts["wrong"] = counts.get("wrong", 0) + 1
    figures = "".join(f"{counts.get(key, 0):>9}" for key in ("read", "refused"))
    wrong, tried = counts.get("wrong", 0), sum(counts.values())
    print(f"{name:<24}{tried:>9}{figures}{wrong:>7}{answer['seconds']:>8.1f}{peak:>7.0f}", flush=True)
    for number, (what, data) in enumerate(answer["wrong"].items()):
        if number < _SHOWN:
            print(f"    {what}", flush=True)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name.replace(' ', '_').replace('/', '_')}-{number}").write_bytes(data)
    return tried


def main() -> int:
    """Print the counts; exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.fuzz")
    parser.add_argument("--inputs", type=int, default=100, help="inputs for each reader; slow ones get fewer")
    parser.add_argument("--seconds", type=float, default=60.0, help="most CPU seconds for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the inputs with wrong answers")
    parser.add_argument("--groups", nargs="*", default=[])
    parser.add_argument("names", nargs="*", metavar="READER")
    _, wrong = fuzz(Options(**vars(parser.parse_args())))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
