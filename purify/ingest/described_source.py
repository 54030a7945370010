"""A folder, tar or zip of images whose labels are in a ``.json`` beside each, as img2dataset writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from purify.errors import InputError
from purify.images.defects import Defect
from purify.ingest.json_label import MOST_JSON, json_label
from purify.ingest.leftovers import is_image, key_of
from purify.ingest.root_listing import Entry, Root
from purify.ingest.source_listing import Listing, and_so_on
from purify.storage.image_bytes import ImageByteReader
from purify.storage.locations import as_text

_NO_LABEL = str(Defect.NO_LABEL)


@dataclass(frozen=True)
class DescribedSource:
    """Images below a root, each with a label in a field of the ``.json`` beside it; folders mean nothing.

    That of ``1.jpg`` is ``1.json`` or ``1.jpg.json``. Images without one are rows without a label. Samples are sorted
    by id, the relative path.
    """

    root: Root
    #: ``a.b`` for a nested one.
    label_field: str

    def listing(self) -> Listing:
        """See `Source`."""
        found = self.root.listing()
        found.faults.refuse(self.root.path)
        beside = {entry.name.lower(): entry for entry in found.entries if entry.name.lower().endswith(".json")}
        images = sorted((entry for entry in found.entries if is_image(entry.name)), key=lambda entry: entry.name)
        with ImageByteReader() as reader:
            read = [self._label(entry, beside, reader) for entry in images]
        labels = [label for label, _ in read]
        if not any(labels):
            fields = next((fields for _, fields in read if fields), ())
            has = f"the first has the fields {and_so_on(fields, most=12)}" if fields else "none lies beside its image"
            raise InputError(
                f"{self.root.path}: no .json beside one of its {len(images)} images has a field {self.label_field!r} "
                f"({has}); name the label's by --label-field, or leave it out if the labels are folders"
            )
        return Listing(
            [as_text(entry.name) for entry in images],
            labels,
            [None] * len(images),
            [entry.uri if label else None for entry, label in zip(images, labels, strict=True)],
            [
                entry.problem if label else f"{_NO_LABEL}: no {self.label_field!r} in a .json beside it"
                for entry, label in zip(images, labels, strict=True)
            ],
            (*found.warnings, *self._unlabeled(images, labels)),
        )

    def _label(self, image: Entry, beside: Mapping[str, Entry], reader: ImageByteReader) -> tuple[str, Sequence[str]]:
        """Label of an image, empty without one; and the fields of a description without the wanted one."""
        for name in (f"{image.name}.json", f"{image.name.rpartition('.')[0]}.json", f"{key_of(image.name)}.json"):
            entry = beside.get(name.lower())
            if entry is not None and entry.uri is not None:
                try:
                    content = reader.read(entry.uri)
                except OSError:  # unreadable: without a label, as without a description
                    return "", ()
                text = content.decode("utf-8-sig", "backslashreplace") if len(content) <= MOST_JSON else ""
                label, fields = json_label(text, self.label_field)
                return label.strip(), fields
        return "", ()

    def _unlabeled(self, images: Sequence[Entry], labels: Sequence[str]) -> Sequence[str]:
        without = [as_text(entry.name) for entry, label in zip(images, labels, strict=True) if not label]
        if not without:
            return ()
        count = f"{len(without)} images have" if len(without) > 1 else "1 image has"
        return (
            f"{count} no {self.label_field!r} in a .json beside it ({and_so_on(without)}) and can't be used: status "
            "no_label",
        )
