"""File names for samples: valid on any file system, deterministic, and no two alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from purify.ingest.leftovers import IMAGE_SUFFIXES, is_hidden

#: What no file name can hold, or what separates folders somewhere.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")
#: Bytes of a name; file systems allow 255, and a suffix and a number are to come.
_LONGEST = 200


def safe_name(text: str) -> str:
    """`text` as the name of one file or folder; unsafe characters, and those that hide a file, become ``%XX``."""
    name = _UNSAFE.sub(_percent, text)
    if is_hidden(name) or not name.strip():
        name = (_percent_of(name[0]) if name else "_") + name[1:]
    encoded = name.encode()
    if len(encoded) <= _LONGEST:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    stem, suffix = _split(name)
    kept = stem.encode()[: _LONGEST - len(digest) - len(suffix) - 1].decode("utf-8", "ignore")
    return f"{kept}~{digest}{suffix}"


def _percent(found: re.Match[str]) -> str:
    return _percent_of(found[0])


def _percent_of(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def image_suffix(name: str) -> str:
    """The suffix of an image's name, with its dot; empty if it has none."""
    stem, dot, suffix = name.rpartition(".")
    return dot + suffix if stem and f".{suffix.lower()}" in IMAGE_SUFFIXES else ""


def _split(name: str) -> tuple[str, str]:
    suffix = image_suffix(name)
    return name.removesuffix(suffix), suffix


def distinct_names(names: Iterable[str]) -> list[str]:
    """`names`, of which every repetition gets a number before its suffix: ``1.jpg``, ``1~2.jpg``."""
    listed = list(names)
    taken, last = set(listed), dict[str, int]()
    result = []
    for name in listed:
        number, free = last.get(name, 0) + 1, name
        stem, suffix = _split(name)
        while number > 1 and (free := f"{stem}~{number}{suffix}") in taken:
            number += 1
        last[name] = number
        taken.add(free)
        result.append(free)
    return result


def label_folders(labels: Sequence[str]) -> dict[str, str]:
    """Label -> name of its folder."""
    return dict(zip(labels, distinct_names(map(safe_name, labels)), strict=True))


def file_name(sample_id: str, label: str) -> str:
    """Name of a sample's file in the folder of its label, perhaps without a suffix, and perhaps not unique.

    What lies below a folder called like the label keeps its name, the rest gets all of its path:
    ``lfw/Ada/1.jpg`` of Ada is ``1.jpg``, of Eve ``lfw_Ada_1.jpg``.
    """
    parts = [part for part in sample_id.split("/") if part not in ("", ".", "..")]
    if label in parts[:-1]:
        parts = parts[len(parts) - 1 - parts[-2::-1].index(label) :]
    return safe_name("_".join(parts))


def file_names(sample_ids: Sequence[str], labels: Sequence[str], *, suffix: str | None) -> list[str]:
    """Path ``label/name`` of every sample, no two alike.

    With `suffix`, that of all files. Otherwise names keep that of an image; those without one need the suffix that the
    image's bytes call for, and their names are unique with any.
    """
    folders = label_folders(sorted(set(labels)))
    paths = [f"{folders[label]}/{file_name(sample, label)}" for sample, label in zip(sample_ids, labels, strict=True)]
    if suffix is None and all(map(image_suffix, paths)):
        return distinct_names(paths)
    stems, suffixes = zip(*map(_split, paths), strict=True)
    return [f"{stem}{suffix or own}" for stem, own in zip(distinct_names(stems), suffixes, strict=True)]
