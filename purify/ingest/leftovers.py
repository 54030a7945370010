"""Non-samples in a source: leftovers of other tools, sidecars of images, and run folders."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .ppm .pgm .avif .jp2 .heic .heif".split()  # noqa: SIM905
)
_SIDECAR_SUFFIXES = frozenset(
    ".json .txt .xmp .cls .xml .csv .yaml .yml .npy .npz .pts .mat .aae .thm".split()  # noqa: SIM905
)
#: Folders of archivers, storage appliances, file systems and recycle bins, in lower case.
_TOOL_FOLDERS = frozenset(
    "__macosx @eadir @__thumb @recycle @recently-snapshot #recycle #snapshot lost+found $recycle.bin recycler".split()  # noqa: SIM905
) | {"system volume information"}
_TOOL_FILES = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r"})
_RUN_INFO = "run.json"
#: Any of these beside ``run.json`` marks a run folder.
_RUN_PARTS = frozenset({"manifest.parquet", "stages", ".lock"})


_HIDDEN = re.compile(
    rf"(?:^|/)(?:\.|(?:{'|'.join(map(re.escape, sorted(_TOOL_FOLDERS)))})(?:/|\Z)"
    rf"|(?:{'|'.join(map(re.escape, sorted(_TOOL_FILES)))})\Z)",
    re.IGNORECASE,
)


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder above it, belongs to the operating system, an archiver or a storage appliance."""
    return _HIDDEN.search(name) is not None


def is_image(name: str) -> bool:
    """Whether a file is an image, by its suffix."""
    return _ends(name) in IMAGE_SUFFIXES


def _ends(name: str) -> str:
    return name[name.rfind(".") :].lower()


def find_sidecars(names: Iterable[str]) -> set[str]:
    """Files that describe an image in the same folder: ``1.json``, ``1.face.json`` or ``1.jpg.xmp`` for ``1.jpg``."""
    names = list(names)
    images = [name for name in names if is_image(name)]
    described = {*images, *(name.rpartition(".")[0] for name in images), *map(key_of, images)}
    candidates = (name for name in names if _ends(name) in _SIDECAR_SUFFIXES and PurePosixPath(name).suffix)
    return {name for name in candidates if name.rpartition(".")[0] in described or key_of(name) in described}


def key_of(name: str) -> str:
    """The path up to the first dot of the file's name, which is what WebDataset's samples are grouped by."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def is_run_folder(children: Collection[str]) -> bool:
    """Whether a folder with these names in it is a run folder."""
    return _RUN_INFO in children and not _RUN_PARTS.isdisjoint(children)


def find_run_folders(names: Iterable[str]) -> list[str]:
    """Run folders among files given by their paths."""
    names = list(names)
    runs = {name.rpartition("/")[0]: set[str]() for name in names if name.endswith(f"/{_RUN_INFO}")}
    if not runs:
        return []
    for name in names:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            if (folder := "/".join(parts[:depth])) in runs:
                runs[folder].add(parts[depth])
    return sorted(folder for folder, children in runs.items() if is_run_folder(children))
