"""Write a software bill of materials (CycloneDX 1.6, JSON) of this environment.

Packages that purify needs at run time have the scope ``required``, those of its extras and tools ``optional``. The
hashes of ``requirements.txt`` are of the files that pip was allowed to install.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the bill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "environment",
        "--output-reproducible",
        "--pyproject",
        "pyproject.toml",
    ]
    printed = subprocess.run([*command, sys.executable], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    bill = json.loads(printed)
    needed, hashes = _needed("purify"), _hashes((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    for component in bill["components"]:
        _complete(component, needed, hashes)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    required = sum(component["scope"] == "required" for component in bill["components"])
    print(f"{out}: {len(bill['components'])} components, {required} of them required")


def _complete(component: dict[str, Any], needed: set[str], hashes: dict[str, list[str]]) -> None:
    name = canonicalize_name(component["name"])
    component["scope"] = "required" if name in needed else "optional"
    files = [{"alg": "SHA-256", "content": value} for value in hashes.get(f"{name}=={component['version']}", [])]
    if files:
        source = {"type": "distribution", "url": component["purl"], "comment": "files of requirements.txt"}
        component.setdefault("externalReferences", []).append(source | {"hashes": files})


def _needed(name: str) -> set[str]:
    """Names of all packages that a package needs without its extras."""
    waiting, seen = [(name, "")], set()
    while waiting:
        package, extra = waiting.pop()
        for requirement in map(Requirement, _requirements(package)):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                found = {(canonicalize_name(requirement.name), further) for further in ("", *requirement.extras)}
                waiting += found - seen
                seen |= found
    return {package for package, _ in seen}


def _requirements(package: str) -> list[str]:
    try:
        return requires(package) or []
    except PackageNotFoundError:  # of another platform
        return []


def _hashes(locked: str) -> dict[str, list[str]]:
    """``name==version`` -> the hashes that pip accepts for it."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=[\w])", locked):
        if match := re.match(r"([\w.-]+==[\w.]+)", block):
            found[match[1]] = re.findall(r"sha256:([0-9a-f]{64})", block)
    return found


if __name__ == "__main__":
    main()
