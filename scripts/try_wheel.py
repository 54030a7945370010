"""Build sdist and wheel, resolve the wheel for every Python and extra, and use it in an environment of its own.

The resolution takes the given versions and wheels only, so it fails where a release has none for a Python.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PYTHONS = ("3.11.5", "3.12", "3.13")
#: An analysis of given embeddings, in a few lines: what an installed purify can do without training.
_USE = """
import numpy as np, purify
rng = np.random.default_rng(0)
centers = rng.normal(size=(6, 32))
people = np.repeat(np.arange(6), 20)
embeddings = (centers[people] + 0.3 * rng.normal(size=(120, 32))).astype(np.float32)
labels = np.array([f"p{person}" for person in people])
labels[0] = "p3"
wrong = purify.find_label_errors(embeddings, labels).to_pandas().query("decision != 'keep'")
assert list(wrong["new_label"]) == ["p0"], wrong
import pandas as pd
ids = [f"{number}.jpg" for number in range(120)]
pd.DataFrame({"path": ids, "label": labels}).to_csv("faces.csv", index=False)
pd.DataFrame({"path": ids, "embedding": list(embeddings)}).to_parquet("embeddings.parquet")
"""


def main() -> None:
    """Build, resolve, install, use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", type=Path, required=True)
    parser.add_argument("--no-install", action="store_true", help="build and resolve only")
    options = parser.parse_args()
    constraints = options.constraints.resolve()
    with tempfile.TemporaryDirectory() as folder:
        wheel = _build(Path(folder))
        _check_content(wheel)
        for python in _PYTHONS:
            for extras in ("", _all_extras()):
                number = _resolve(f"purify{extras} @ {wheel.as_uri()}", python, constraints, Path(folder))
                print(f"Python {python}, purify{extras}: {number} packages, all with wheels", flush=True)
        if not options.no_install:
            _install_and_use(wheel, constraints, Path(folder) / "venv")
            print(f"installed and used on Python {sys.version_info.major}.{sys.version_info.minor}")


def _run(*command: object, folder: Path, text: str = "") -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def _build(folder: Path) -> Path:
    _run(sys.executable, "-m", "hatchling", "build", "--directory", folder, folder=ROOT)
    assert list(folder.glob("*.tar.gz")), "no sdist"
    (wheel,) = folder.glob("*.whl")
    return wheel


def _check_content(wheel: Path) -> None:
    """The wheel has the recipes, and no file of the repository's other folders."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = {f"purify/recipes/{path.name}" for path in (ROOT / "recipes").glob("*.toml")} - names
    others = {name for name in names if name.split("/")[0] not in {"purify", "purify_demo"} and "dist-info" not in name}
    if missing or others:
        sys.exit(f"{wheel.name}: lacks {sorted(missing)}, has {sorted(others)}")


def _all_extras() -> str:
    """All extras for users but gpu, whose faiss is the same folder as that of the CPU."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return f"[{','.join(sorted(set(known) - {'gpu', 'dev'}))}]"


def _resolve(requirement: str, python: str, constraints: Path, folder: Path) -> int:
    platform = ("--python-version", python, "--python-platform", "x86_64-manylinux_2_28", "--only-binary", ":all:")
    command = (sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate")
    found = _run(*command, *platform, "--constraints", constraints, folder=folder, text=requirement)
    return sum(1 for line in found.splitlines() if line)


def _install_and_use(wheel: Path, constraints: Path, environment: Path) -> None:
    venv.create(environment, with_pip=True)
    binaries = environment / "bin"
    install = (binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*install, "-c", constraints, wheel, folder=environment)
    _run(binaries / "python", "-m", "pip", "check", folder=environment)
    use(environment)


def use(environment: Path) -> None:
    """Call the installed package and its command, as its first users do."""
    binaries = environment / "bin"
    _run(binaries / "purify", "--version", folder=environment)
    if "analyze" not in _run(binaries / "purify", "--help", folder=environment):
        sys.exit("purify --help doesn't name its commands")
    if 'backbone = "iresnet50"' not in _run(
        binaries / "purify", "config", "--config", "ms1mv0-iresnet50", folder=environment
    ):
        sys.exit("the installed purify does not find its recipes")
    _run(binaries / "python", "-c", _USE, folder=environment)
    given = ("faces.csv", "--embeddings", "embeddings.parquet", "--out", "run")
    figures = json.loads(_run(binaries / "purify", "analyze", *given, "--json", folder=environment))
    if figures["relabel"] != 1 or not (environment / "run" / "verdicts.parquet").exists():
        sys.exit(f"purify analyze: {figures}")


if __name__ == "__main__":
    main()
