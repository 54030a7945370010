"""The formats of `purify export` by name."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from purify.export.export_job import Job
from purify.export.list_formats import write_cleanlab, write_lst, write_samples_csv
from purify.export.parquet_format import write_parquet
from purify.export.rec_format import write_rec
from purify.export.review_formats import write_fiftyone, write_label_studio
from purify.export.tree_format import write_folder
from purify.export.webdataset_format import write_webdataset


class Verdicts(enum.Enum):
    """What a format does with verdicts."""

    UNUSED = "unused"
    SHOWN = "shown"
    REQUIRED = "required"


class Images(enum.Enum):
    """What a format does with the images."""

    LISTED = "listed"
    WRITTEN = "written"


@dataclass(frozen=True)
class Format:
    """A format: what it is, what goes into it, and its writer."""

    title: str
    images: Images
    verdicts: Verdicts
    write: Callable[[Job], None]


FORMATS: Mapping[str, Format] = {
    "folder": Format("folders of labels", Images.WRITTEN, Verdicts.UNUSED, write_folder),
    "rec": Format("RecordIO of InsightFace", Images.WRITTEN, Verdicts.UNUSED, write_rec),
    "webdataset": Format("WebDataset", Images.WRITTEN, Verdicts.UNUSED, write_webdataset),
    "parquet": Format("Parquet of Hugging Face", Images.WRITTEN, Verdicts.UNUSED, write_parquet),
    "lst": Format("list of im2rec", Images.LISTED, Verdicts.UNUSED, write_lst),
    "csv": Format("CSV", Images.LISTED, Verdicts.SHOWN, write_samples_csv),
    "fiftyone": Format("FiftyOne", Images.WRITTEN, Verdicts.SHOWN, write_fiftyone),
    "label-studio": Format("Label Studio", Images.WRITTEN, Verdicts.SHOWN, write_label_studio),
    "cleanlab": Format("label issues of cleanlab", Images.LISTED, Verdicts.REQUIRED, write_cleanlab),
}
