"""Provenance of a run: request, seed, versions, hashes of the inputs, and the revision of the code."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from purify.pipeline.request import RunRequest
from purify.storage import remote
from purify.storage.files import sha256_file
from purify.storage.locations import Location, Url, to_location
from purify.storage.run_folder import RunFolder
from purify.version import __version__

_PACKAGES = ("torch", "numpy", "pyarrow", "prefect", "Pillow")


def note_start(run: RunFolder, request: RunRequest) -> None:
    """Write the request and the provenance of a run to ``run.json``."""
    config = request.config
    optional = (request.embeddings, config.extractor.file, config.evaluate.pairs, config.apply.reviews)
    files = (request.source, *config.ingest.more, *optional, *config.ingest.images)
    inputs = [to_location(place) for place in files if place]
    run.update_info(
        source=request.source,
        embeddings=request.embeddings,
        config=config.model_dump(mode="json"),
        seed=config.seed,
        versions=package_versions(),
        git_revision=_git_revision(),
        input_hashes={str(place): digest for place in inputs if (digest := _input_hash(place))},
    )


def _input_hash(place: Location) -> str | None:
    """SHA-256 of a local file, or the version of a file on a store, which needs no full read; None for a folder."""
    if isinstance(place, Url):
        return None if remote.is_folder(place) else f"version {remote.version(place)}"
    return sha256_file(place) if place.is_file() else None


def package_versions() -> dict[str, str]:
    """Versions of this package, of Python, and of the packages behind the results."""
    return {
        "purify": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def _git_revision() -> str | None:
    """Git revision of the running checkout; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
