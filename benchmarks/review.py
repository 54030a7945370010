"""Speed of the review page on a large run: ``python -m benchmarks.review --help``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
from PIL import Image
from rich.console import Console
from rich.table import Table

from purify.errors import PurifyError
from purify.storage.files import write_json, write_table
from purify.storage.locations import file_uri
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLASS_REPORT, MANIFEST, REVIEWS, VERDICTS
from purify.version import __version__

_PICTURES = 500
_SIDE = 112
_STARTED = re.compile(r"http://\S+\?token=\S+")
_CHROMIUM_FLAGS = ("--disable-background-networking", "--disable-component-update", "--disable-gpu", "--disable-quic")


def run_review(*, verdicts: int, reviews: int, presses: int, chromium: str | None) -> dict[str, Any]:
    """Measure the page of a made-up run in the command's own process, over HTTP and, if available, in Chromium.

    Returns
    -------
    dict
        ``case``; ``versions``; ``seconds_to_start`` of the command, imports included; ``http_ms``: name of a
        request -> median and worst of `presses`; ``browser_ms``: ``first_screen`` (from the address to the face and
        its evidence on the screen) and ``next_face`` (from the key to the next face's picture on the screen);
        ``cpu_ms``: CPU time of ``first_screen`` in server and browser together, meaningful even on a busy machine
        (Linux only, else 0).
    """
    with tempfile.TemporaryDirectory(prefix="purify-review-") as folder:
        run = _write_run(Path(folder), verdicts=verdicts, reviews=reviews)
        began = time.monotonic()
        command = [sys.executable, "-m", "purify", "review", str(run.root), "--reviewer", "benchmark"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline() if process.stdout else ""
            address = _STARTED.search(line)
            if address is None:
                raise PurifyError("the review page did not start")
            result = {
                "case": {"verdicts": verdicts, "reviews": reviews, "presses": presses},
                "versions": {"purify": __version__, "fastapi": version("fastapi"), "uvicorn": version("uvicorn")},
                "seconds_to_start": round(time.monotonic() - began, 3),
            }
            if chromium:
                result |= _in_browser(address.group(), presses=presses, chromium=chromium)
            result["http_ms"] = _over_http(address.group(), presses=presses, rows=verdicts)
        finally:
            process.kill()
            process.wait()
    return result


def _over_http(address: str, *, presses: int, rows: int) -> dict[str, dict[str, float]]:
    base, token = address.split("?token=")

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"x-purify-token": token, "content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(base + path, data, headers)) as response:
            return json.load(response)

    seen = ask("api/state")["version"]

    def decide(turn: int) -> None:
        nonlocal seen
        action = {"rows": [rows - 1 - turn], "decision": "drop", "seen": seen}
        seen = ask("api/reviews", {"tab": "benchmark", "seen": seen, "actions": [action]})["version"]

    work: dict[str, Callable[[int], Any]] = {
        "queue_page": lambda turn: ask(f"api/queue?view=informative&start={turn}&n=12"),
        "item": lambda turn: ask(f"api/items/{turn}"),
        "decision_on_disk": decide,
        "label_page": lambda turn: ask(f"api/labels/{turn}"),
        "search": lambda turn: ask(f"api/labels?q=person+{turn}"),
    }
    return {name: _spread([_milliseconds(run, turn) for turn in range(presses)]) for name, run in work.items()}


def _milliseconds(work: Callable[[int], Any], turn: int) -> float:
    began = time.perf_counter()
    work(turn)
    return (time.perf_counter() - began) * 1000


#: Resolves when every picture in the window is on the screen, two frames later.
_ON_SCREEN = """async () => {
  const seen = (image) => image.getBoundingClientRect().top < innerHeight;
  const images = [...document.querySelectorAll('#review img')].filter(seen);
  await Promise.all(images.map((image) => image.decode()));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now();
}"""
_NEXT_FACE = """async () => {
  const began = performance.now();
  document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'k', bubbles: true}));
  await document.querySelector('.subject img').decode();
  await new Promise((done) => requestAnimationFrame(done));
  return performance.now() - began;
}"""


def _in_browser(address: str, *, presses: int, chromium: str) -> dict[str, dict[str, dict[str, float]]]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=list(_CHROMIUM_FLAGS), chromium_sandbox=False)
        first, spent = [], []
        for _ in range(5):  # a new profile each time: nothing is cached
            page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
            page.wait_for_timeout(500)
            before = _cpu_milliseconds()
            page.goto(address)
            page.wait_for_selector("#review.item")
            first.append(page.evaluate(_ON_SCREEN))
            spent.append(_cpu_milliseconds() - before)
        following = []
        for _ in range(presses):
            page.wait_for_timeout(300)  # a fast reviewer
            following.append(page.evaluate(_NEXT_FACE))
        browser.close()
    return {
        "browser_ms": {"first_screen": _spread(first), "next_face": _spread(following)},
        "cpu_ms": {"first_screen": _spread(spent)},
    }


def _cpu_milliseconds() -> float:
    """CPU time of this process and its descendants, in user and kernel mode."""
    ticks, parent = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            values = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        ticks[int(path.parent.name)] = int(values[11]) + int(values[12])
        parent[int(path.parent.name)] = int(values[1])
    ours = {os.getpid()}
    while more := {pid for pid, above in parent.items() if above in ours} - ours:
        ours |= more
    return sum(ticks.get(pid, 0) for pid in ours) * 1000 / os.sysconf("SC_CLK_TCK")


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(float(np.median(values)), 1), "worst": round(float(np.max(values)), 1)}


def _write_run(folder: Path, *, verdicts: int, reviews: int) -> RunFolder:
    """A run whose samples share some hundred pictures."""
    rng = np.random.default_rng(0)
    uris = []
    for number in range(_PICTURES):
        path = folder / "images" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (_SIDE, _SIDE, 3), dtype=np.uint8)).save(path)
        uris.append(file_uri(path))
    run = RunFolder(folder / "run")
    labels = max(1, verdicts // 60)
    label = np.sort(rng.integers(0, labels, verdicts))
    names = [f"person {k}" for k in range(labels)]
    ids = [f"person {label[i]}/{i:07d}.jpg" for i in range(verdicts)]
    given = [names[k] for k in label]
    manifest = {
        "sample_id": ids,
        "uri": [uris[i % _PICTURES] for i in range(verdicts)],
        "label": given,
        "width": np.full(verdicts, _SIDE, np.int32),
        "height": np.full(verdicts, _SIDE, np.int32),
        "status": ["ok"] * verdicts,
    }
    p_clean = rng.beta(2, 0.3, verdicts).astype(np.float32)
    keep = p_clean > 0.5
    angle = (90 - 50 * p_clean + rng.normal(0, 4, verdicts)).astype(np.float32)
    neighbors = (np.arange(verdicts)[:, None] + np.arange(1, 6)) % verdicts
    judged = {
        "sample_id": ids,
        "label": given,
        "subcenter": (~keep).astype(np.int32),
        "dominant": np.zeros(verdicts, np.int32),
        "angle": angle,
        "angle_dominant": angle,
        "other_label": [names[(k + 1) % labels] for k in label],
        "angle_other": angle[::-1].copy(),
        "neighbor_agreement": p_clean,
        "p_clean": p_clean,
        "p_other": 1 - p_clean,
        "decision": np.where(keep, "keep", "drop").tolist(),
        "reason": np.where(keep, "near_dominant", "open_set").tolist(),
        "evidence_ids": [[ids[i] for i in row] for row in neighbors],
        "rule": ["calibrated/2"] * verdicts,
    }
    counts = np.bincount(label, minlength=labels).astype(np.int32)
    report = {"label": names, "n": counts, "n_kept": counts, "flag": ["ok"] * labels}
    decided = {
        "sample_id": ids[:reviews],
        "decision": ["keep"] * reviews,
        "reviewer": ["earlier"] * reviews,
        "at": np.arange(reviews).astype("datetime64[us]"),
    }
    for path, columns, schema in (
        (run.manifest, manifest, MANIFEST),
        (run.verdicts, judged, VERDICTS),
        (run.class_report, report, CLASS_REPORT),
        (run.reviews, decided, REVIEWS),
    ):
        write_table(_as_table(columns, schema), path)
    return run


def _as_table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    n = len(next(iter(columns.values())))
    arrays = [
        pa.array(columns[field.name]).cast(field.type) if field.name in columns else pa.nulls(n, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def _print_table(result: dict[str, Any]) -> None:
    table = Table("what", "median ms", "worst ms", title=f"review page, {result['case']['verdicts']:,} verdicts")
    for kind in ("browser_ms", "cpu_ms", "http_ms"):
        for name, spread in result.get(kind, {}).items():
            table.add_row(f"{kind.removesuffix('_ms')}: {name}", f"{spread['median']:.1f}", f"{spread['worst']:.1f}")
    Console(stderr=True).print(table)


@click.command()
@click.option("--verdicts", type=click.IntRange(100), default=100_000, show_default=True)
@click.option("--reviews", type=click.IntRange(0), default=10_000, show_default=True, help="Samples decided before.")
@click.option("--presses", type=click.IntRange(1, 50), default=20, show_default=True, help="Repetitions.")
@click.option("--chromium", default=lambda: shutil.which("chromium"), help="Program; none: over HTTP only.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the JSON here.")
def main(verdicts: int, reviews: int, presses: int, chromium: str | None, out: Path | None) -> None:
    """Speed of `purify review` on a made-up run; prints JSON, and a table to stderr."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    result = run_review(verdicts=verdicts, reviews=min(reviews, verdicts - presses), presses=presses, chromium=chromium)
    _print_table(result)
    click.echo(json.dumps(result, indent=2, sort_keys=True))
    if out is not None:
        write_json(out, result)


if __name__ == "__main__":
    main()
