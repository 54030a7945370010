"""Renew ``constraints.txt`` (pins) and ``requirements.txt`` (pins and hashes) from the bounds of ``pyproject.toml``.

Without ``--upgrade``, only what has changed there changes. torch has a pin and no hash: its builds (CPU, CUDA, ROCm)
are different files of one version, chosen by the index that the user has set.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS, LOCKED = ROOT / "constraints.txt", ROOT / "requirements.txt"
#: The oldest patch release of Python 3.11 that all pinned releases support.
PYTHON = "3.11.5"
#: faiss-gpu is the same folder as faiss-cpu.
_LEFT_OUT = {"gpu"}
_PINS_HEADER = """\
# The versions that the project is developed and tested with (Python 3.11 on Linux x86_64): all extras but gpu, by
# `make constraints`. pip takes any build of a version, so torch may be the CPU or a CUDA build.
"""
_LOCKED_HEADER = """\
# The versions of constraints.txt with the hashes of their files, for Python 3.11 to 3.13 on Linux and macOS: what
# `make install` takes, by `make constraints`. torch is missing: each of its builds has other hashes.
"""
#: What uv adds to every line of a lock for the platforms of pyproject.toml.
_EVERYWHERE = "python_full_version < '3.14' and (sys_platform == 'darwin' or sys_platform == 'linux')"


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest releases within the bounds")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = [f"--extra={name}" for name in extras if name not in _LEFT_OUT]
    pins = _compile(*wanted, *upgrade, "--python-platform=x86_64-manylinux_2_28", known=PINS)
    PINS.write_text(_PINS_HEADER + pins, encoding="utf-8")
    locked = _compile(
        "--extra=dev", "--universal", "--generate-hashes", "--no-emit-package=torch", f"--constraints={PINS}"
    )
    LOCKED.write_text(_LOCKED_HEADER + _without_platforms(locked), encoding="utf-8")


def _compile(*options: str, known: Path | None = None) -> str:
    """Resolved requirements; a file of `known` ones keeps its versions."""
    kept = [] if known is None else [f"--output-file={known}"]
    plain = ("--no-header", "--no-annotate", "--quiet", "--no-emit-index-url", "--no-emit-find-links")
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", f"--python-version={PYTHON}"]
    done = subprocess.run([*command, *plain, *kept, *options], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout if known is None else known.read_text(encoding="utf-8")


def _without_platforms(locked: str) -> str:
    """The lock with the markers alone that tell its platforms apart; on others, pip tries all of it."""
    return (
        locked.replace(f" ; {_EVERYWHERE} ", " ")
        .replace(f" ; {_EVERYWHERE}\n", "\n")
        .replace("python_full_version < '3.14' and ", "")
    )


if __name__ == "__main__":
    main()
