from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from purify.config import IngestConfig

Encode = Callable[..., bytes]


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Bytes of a random picture: ``encode(width, height, format="PNG", mode="RGB", seed=0, **save_options)``."""

    def make(
        width: int = 24, height: int = 24, file_format: str = "PNG", *, mode: str = "RGB", seed: int = 0, **save: object
    ) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, file_format, **save)
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def write_tree() -> Callable[[Path, Mapping[str, bytes]], Path]:
    """Write files by relative name under a folder, and return it."""

    def write(root: Path, files: Mapping[str, bytes]) -> Path:
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return write


@pytest.fixture(scope="session")
def write_tar() -> Callable[[Path, Mapping[str, bytes]], Path]:
    """Write files as members of a new tar, and return its path."""

    def write(path: Path, files: Mapping[str, bytes]) -> Path:
        with tarfile.open(path, "w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    return write


@pytest.fixture
def config() -> IngestConfig:
    return IngestConfig(workers=2)
