"""The extractor of a run: the one asked for or, by ``auto``, the strongest that is installed and fits the images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from purify.config import EXTRACTOR_NAMES, PurifyConfig
from purify.errors import InputError, did_you_mean
from purify.faces.packaged_models import INSTALL, faces_installed, packaged_model
from purify.pipeline.crop_sample import LEAST_ALIGNED, aligned_in_sample
from purify.storage.files import local_file
from purify.storage.locations import to_location
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import ok_rows

DLIB, SCRATCH, AUTO = "dlib", "scratch", "auto"
_WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
#: Images from which on ``auto`` trains a network. Up to 7,656 images dlib's was measured to be far better; the smallest
#: public set whose networks are published as better than dlib's on LFW has half a million.
_LARGE = 500_000


@dataclass(frozen=True)
class ExtractorChoice:
    """The entry ``extractor`` of ``run.json``: the setting ``extractor.name``, what it came to, and why."""

    asked: str
    name: str
    why: str = field(compare=False)

    def settle(self, config: PurifyConfig) -> PurifyConfig:
        """`config` with the extractor of this choice."""
        return config.changed(extractor={"name": self.name})


def dlib_weights() -> Path:
    """The installed weights of dlib's network; InputError, with the remedy, if they aren't there."""
    return packaged_model(_WEIGHTS)


def extractor_file(config: PurifyConfig) -> Path | None:
    """The file of the extractor; None for the network trained on the labels, as ``auto`` is until it is settled.

    InputError if it isn't there.
    """
    name = config.extractor.name
    if name in (SCRATCH, AUTO):
        return None
    if name == DLIB:
        return dlib_weights()
    place = to_location(name)
    if isinstance(place, Path) and not place.exists():
        word = place.name
        raise InputError(
            f"extractor.name: {name} is no file, and none of {', '.join(EXTRACTOR_NAMES)}"
            f"{did_you_mean(word, EXTRACTOR_NAMES)}"
        )
    return local_file(place)


def choose_extractor(run: RunFolder, manifest: pa.Table, config: PurifyConfig) -> ExtractorChoice:
    """The extractor of a run; what ``auto`` once chose for it holds in its updates, too."""
    asked = config.extractor.name
    if asked != AUTO:
        return ExtractorChoice(asked, asked, "as asked")
    known = run.read_info().get("extractor")
    if known is not None and known["asked"] == AUTO:
        return ExtractorChoice(known["asked"], known["name"], known["why"])
    return strongest(manifest, config)


def strongest(manifest: pa.Table, config: PurifyConfig) -> ExtractorChoice:
    """What ``auto`` comes to for the images of a manifest."""
    rows = ok_rows(manifest)
    if (why := _own_network(config, images=len(rows))) is not None:
        return ExtractorChoice(AUTO, SCRATCH, why)
    if not faces_installed():
        return ExtractorChoice(AUTO, SCRATCH, f"the extra faces is not installed ({INSTALL})")
    found, looked_at = aligned_in_sample(rows, config.seed)
    if not found:
        return ExtractorChoice(AUTO, SCRATCH, f"none of {looked_at} images looked at shows an aligned face")
    seen = f"{found} of {looked_at} images looked at show an aligned face"
    if found < LEAST_ALIGNED * looked_at:
        return ExtractorChoice(AUTO, SCRATCH, f"only {seen}")
    return ExtractorChoice(AUTO, DLIB, seen)


def _own_network(config: PurifyConfig, *, images: int) -> str | None:
    """Why a network is trained whatever is installed; None if there is no reason to."""
    if config.model.weights is not None:
        return "model.weights are given, from which the network starts"
    if config.analyze.checkpoint is not None:
        return "the sub-centers of analyze.checkpoint are to judge"
    if (config.rounds.most or 1) > 1:
        return "several rounds are asked for, each with a network of its own"
    if images >= _LARGE:
        return f"{images:,} images are enough for a network of their own"
    return None
