"""Faults in every stage of runs and commands, and many damaged inputs for every reader: counts of what became of them.

The exit code is 1 where anything was lost, torn, silent or left behind, or ended in a traceback.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.campaign import faults
from tests.campaign.fuzz import Options, fuzz
from tests.campaign.place import Counts, Place
from tests.campaign.worlds import WORLDS

_TRAINING = ("train_round", "train_model")  # in processes of their own
_FAULTS = ("kill", "signal", "space", "readonly", "vanish", "second", "flip", "command")


def in_world(place: Place, times: int, chosen: list[str], *, mounts: bool) -> None:
    """Inflict the chosen faults in all stages of a world; `times` kills in each, a third of them where it trains."""
    times = -(-times // 3) if place.world.trains else times
    for stage in place.world.stages:
        if "kill" in chosen:
            for number in range(times):
                faults.kill(place, stage, "kill", at_a_write=number % 2 == 1)
            if stage in _TRAINING:
                faults.kill(place, stage, "kill rank", at_a_write=False)
        if "signal" in chosen:
            faults.kill(place, stage, "SIGINT", at_a_write=False)
            faults.kill(place, stage, "SIGTERM", at_a_write=False)
        if "space" in chosen:
            for number in range(max(1, times // 4)):
                faults.no_space(place, stage, real=mounts and number % 2 == 0)
        if "readonly" in chosen and mounts:
            faults.read_only(place, stage)
        if "vanish" in chosen:
            faults.vanish(place, stage)
        if "second" in chosen:
            faults.second_run(place, stage)


def flips(place: Place) -> None:
    """Flip a byte in each file of a finished run."""
    place.restore(place.world.stages[0])
    code, output, _ = place.work("run")
    assert code == 0, output
    for name in faults.files_to_flip(place):
        faults.flip(place, name)


def commands(place: Place, times: int) -> None:
    """Kill the saving of reviews, and the commands that write."""
    place.restore(place.world.stages[0])
    code, output, _ = place.work("run")
    assert code == 0, output
    run = place.run.root
    given, out = place.world.values["embeddings"], place.folder / "out"
    named = {
        "apply": (["apply", str(run)], None),
        "report": (["report", str(run)], None),
        "analyze": (["analyze", str(run / "manifest.parquet"), "--embeddings", given, "--out", str(out)], out),
        **{
            f"export {form}": (
                ["export", str(run / "cleaned.parquet"), "--format", form, "--out", str(out), "--shard-images", "5"],
                out,
            )
            for form in ("folder", "rec", "webdataset", "parquet")
        },
    }
    for _ in range(times):
        faults.kill_reviews(place)
    for name, (arguments, where) in named.items():
        for _ in range(times):
            faults.kill_command(place, name, arguments, where)


def main() -> int:
    """Print the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign")
    parser.add_argument("--kills", type=int, default=2, help="kills in each stage (2); a third where it trains")
    parser.add_argument("--inputs", type=int, default=0, help="inputs for each reader; slow ones get fewer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worlds", nargs="*", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--faults", nargs="*", choices=_FAULTS, default=list(_FAULTS))
    given = parser.parse_args()
    counts, rnd, began = Counts(), random.Random(given.seed), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        mounts = faults.can_mount(Path(folder))
        for name in given.worlds:
            (own := Path(folder) / name.replace(" ", "-")).mkdir()
            place = Place(own, WORLDS[name](own), counts, rnd)
            in_world(place, given.kills, given.faults, mounts=mounts)
            if "flip" in given.faults:
                flips(place)
            if "command" in given.faults and name == "first run":
                commands(place, given.kills)
            print(counts.table(), flush=True)
    print(f"{time.monotonic() - began:.0f} s{'' if mounts else '; no root: the disk was full by injected errors only'}")
    print("\n".join(counts.wrong) or "0 lost, 0 torn, 0 silent, 0 left behind, 0 tracebacks")
    wrong = bool(counts.wrong)
    if given.inputs:
        wrong |= bool(fuzz(Options(given.inputs, seconds=600.0, seed=given.seed))[1])
    return wrong


if __name__ == "__main__":
    sys.exit(main())
