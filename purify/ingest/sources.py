"""What can be purified: a folder of images, a tar of one, or a table of paths with image roots; here or on a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from purify.errors import InputError
from purify.images.defects import Defect, UnreadableImageError
from purify.ingest.image_roots import Entry, ImageRoots, Root, open_root
from purify.storage import remote
from purify.storage.files import readable
from purify.storage.locations import Location, as_text
from purify.tables.user_tables import TABLE_READERS, is_table, read_samples

_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .ppm .pgm .avif .jp2".split()  # noqa: SIM905
)
_SHOWN = 3


@dataclass(frozen=True)
class Listing:
    """Samples of a source, one of each a row.

    Attributes
    ----------
    sample_ids
        Unique.
    labels
        As given; none is empty.
    true_labels
        None: not known. Empty: belongs to no class.
    uris
        None where there is nothing to read.
    problems
        Why, beginning with the code of a `Defect`; None for what can be read.
    """

    sample_ids: Sequence[str]
    labels: Sequence[str]
    true_labels: Sequence[str | None]
    uris: Sequence[str | None]
    problems: Sequence[str | None]


class Source(Protocol):
    """Something that lists samples."""

    def listing(self) -> Listing:
        """All samples in the order of the manifest; InputError where the user has to mend the source."""


@dataclass(frozen=True)
class TreeSource:
    """A folder or tar of ``label/image``: a sample's label is the name of the folder that holds it.

    Folders above that one don't matter (``lfw/Name/1.jpg`` and ``Name/1.jpg`` are both of Name), so two
    folders of the same name in different places are refused. Hidden files are no samples, and neither are files
    outside any folder that aren't images by name (a README, a list). Samples are sorted by id, the relative path.
    """

    root: Root

    def listing(self) -> Listing:
        """See `Source`."""
        entries = sorted(self._samples(), key=lambda entry: as_text(entry.name))
        if not entries:
            raise InputError(f"{self.root.path}: no images found; {_LAYOUT}")
        self._check(entries)
        return Listing(
            [as_text(entry.name) for entry in entries],
            [as_text(PurePosixPath(entry.name).parent.name) for entry in entries],
            [None] * len(entries),
            [entry.uri for entry in entries],
            [entry.problem for entry in entries],
        )

    def _samples(self) -> Iterable[Entry]:
        for entry in self.root.entries():
            if "/" in entry.name:
                yield entry
            elif PurePosixPath(entry.name).suffix.lower() in _SUFFIXES:
                raise InputError(f"{self.root.path}: {as_text(entry.name)} is in no folder; {_LAYOUT}")

    def _check(self, entries: Sequence[Entry]) -> None:
        folders: dict[str, PurePosixPath] = {}
        ids: dict[str, str] = {}
        for entry in entries:
            folder = PurePosixPath(entry.name).parent
            label, sample_id = as_text(folder.name), as_text(entry.name)
            if not label.strip():
                raise InputError(f"{self.root.path}: {sample_id}: its folder's name, the label, is empty; rename it")
            if folders.setdefault(label, folder) != folder:
                both = f"{as_text(str(folders[label]))} and {as_text(str(folder))}"
                raise InputError(
                    f"{self.root.path}: {both} are two folders of one label, {label!r}; "
                    "put them together, rename one, or give a table of path,label"
                )
            if ids.setdefault(sample_id, entry.name) != entry.name:
                raise InputError(f"{self.root.path}: two files are called {sample_id} in UTF-8; rename one")


@dataclass(frozen=True)
class TableSource:
    """A Parquet or CSV table of paths that are looked up in image roots, in their order.

    ``path`` says where an image is, else ``sample_id``. Rows keep their order; other columns are ignored.
    """

    path: Location
    roots: ImageRoots

    def listing(self) -> Listing:
        """See `Source`."""
        table = read_samples(self.path, optional=("true_label", "path"))
        sample_ids = table["sample_id"].to_pylist()
        names = table["path"].to_pylist() if "path" in table.column_names else sample_ids
        entries = [self._find(row, name) for row, name in enumerate(names, start=1)]
        if not any(entries):
            shown = ", ".join(str(name) for name in names[:_SHOWN])
            raise InputError(
                f"{self.path}: none of its {len(names)} paths (row 1 on: {shown}) is in the image roots "
                f"({self.roots}); give the folders or tars that hold them with --images"
            )
        truth = table["true_label"].to_pylist() if "true_label" in table.column_names else [None] * len(names)
        return Listing(
            sample_ids,
            table["label"].to_pylist(),
            truth,
            [entry.uri if entry else None for entry in entries],
            [entry.problem if entry else _MISSING for entry in entries],
        )

    def _find(self, row: int, name: str | None) -> Entry | None:
        try:
            return self.roots.find(name or "")
        except InputError as error:
            raise InputError(f"{self.path}: row {row}: {error}") from error


def open_source(source: Location, images: Sequence[Location]) -> Source:
    """The source at a path or URL; `images` are the roots of a table (none: the table's folder).

    Raises
    ------
    InputError
        If there is nothing, it is of no known kind, or a root can't be read.
    """
    if isinstance(source, Path):
        with readable(source):
            source.stat()
    for matches, make in _KINDS.items():
        if matches(source):
            return make(source, images)
    raise InputError(
        f"{source}: unknown kind of source; expected a folder of label/image, an uncompressed .tar of one, "
        f"or a table ({', '.join(TABLE_READERS)})"
    )


def _tree(source: Location, _images: Sequence[Location]) -> Source:
    return TreeSource(open_root(source))


def _table(source: Location, images: Sequence[Location]) -> Source:
    folder = source.resolve().parent if isinstance(source, Path) else source.parent
    return TableSource(source, ImageRoots(images or [folder]))


def _is_folder(source: Location) -> bool:
    return source.is_dir() if isinstance(source, Path) else remote.is_folder(source)


def _is_archive(source: Location) -> bool:
    """Compressed ones too: opening them says what to do."""
    return ".tar" in (suffix.lower() for suffix in source.suffixes[-2:]) or source.suffix.lower() == ".tgz"


#: Test of a path -> source; the kinds there are.
_KINDS: Mapping[Callable[[Location], bool], Callable[[Location, Sequence[Location]], Source]] = {
    _is_folder: _tree,
    is_table: _table,
    _is_archive: _tree,
}
_LAYOUT = "put images in one folder a label, as in Some_Name/1.jpg, or list them in a table of path,label"
_MISSING = str(UnreadableImageError(Defect.MISSING, "not found in any image root"))
