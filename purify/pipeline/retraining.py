"""The rule that says when a data set has grown so much that the models are trained again. Pure functions."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.config import GrowConfig


class Because(enum.StrEnum):
    """Why the models are trained again, or not; the closed list of ``because``."""

    FIRST_TRAINING = "first_training"
    NEW_SHARE = "new_share"
    DRIFT = "drift"
    CONFIGURATION = "configuration"
    IMAGES_GONE = "images_gone"
    FEW_NEW = "few_new"
    NOTHING_NEW = "nothing_new"


NOTHING_NEW = "nothing is new in the source, and nothing else changed"


@dataclass(frozen=True)
class TrainingState:
    """What is known before the decision.

    Attributes
    ----------
    images
        Usable images now.
    new_images
        Those among them that the last training has not seen under their label; None: there was no training.
    trained
        Whether the models of the last training are there, made by the recipe in force.
    trainable
        Whether the images of the last training are still there.
    unfinished
        Why an update that was cut off was training; None: it was not, or there is none.
    choosing
        Whether it was cut off before its choice of images was safe.
    """

    images: int
    new_images: int | None
    trained: bool
    trainable: bool
    unfinished: Because | None
    choosing: bool = False


@dataclass(frozen=True)
class Decision:
    """Whether to train, on what, and why.

    Attributes
    ----------
    because
        The reason.
    train
        Whether the models are trained in this update.
    choose
        Whether they are trained on the images as they are now; else on those of the last training, or of the
        one that was cut off.
    """

    because: Because
    train: bool
    choose: bool


def decide(state: TrainingState, limits: GrowConfig) -> Decision:
    """Apply the rule to the share of new images, before any is embedded; `drifted` is its other half."""
    if state.new_images is None:
        return Decision(Because.FIRST_TRAINING, train=True, choose=True)
    if state.new_images > limits.retrain_share * state.images:
        return Decision(Because.NEW_SHARE, train=True, choose=True)
    if not state.trained and not state.trainable:
        return Decision(Because.IMAGES_GONE, train=True, choose=True)
    if state.unfinished is not None:
        return Decision(state.unfinished, train=True, choose=state.choosing)
    if not state.trained:
        return Decision(Because.CONFIGURATION, train=True, choose=True)
    return Decision(Because.FEW_NEW, train=False, choose=False)


def explain(because: Because, state: TrainingState, limits: GrowConfig) -> str:
    """The reason in words, with the figures that it rests on."""
    match because:
        case Because.FIRST_TRAINING:
            return "nothing was trained before"
        case Because.NEW_SHARE | Because.FEW_NEW:
            new = state.new_images or 0
            than = "more than" if because is Because.NEW_SHARE else "not more than"
            share = f"{new} of {state.images} images ({new / max(state.images, 1):.1%}) are new since the last training"
            return f"{share}, {than} grow.retrain_share = {limits.retrain_share:g}"
        case Because.DRIFT:  # its figure is not known before the new images are judged
            return "new images lie farther from their labels' sub-centers than those trained on"
        case Because.CONFIGURATION:
            return "the recipe of the training changed, or its files are gone"
        case Because.IMAGES_GONE:
            return "images that an unfinished training needs are no longer there"
        case Because.NOTHING_NEW:
            return NOTHING_NEW


def angle_drift(angles: npt.NDArray[np.floating], new: npt.NDArray[np.bool_], limits: GrowConfig) -> float | None:
    """How much farther new images lie from where their labels are, in degrees.

    Parameters
    ----------
    angles
        float[N], degrees to the dominant sub-center of each image's label; NaN where there is none.
    new
        bool[N]: images that the model was not trained on.
    limits
        Fewer new images than ``drift_images`` tell nothing.

    Returns
    -------
    float or None
        Difference of the medians of new and other images; None where there are too few of either.
    """
    known = np.isfinite(angles)
    new, other = angles[known & new], angles[known & ~new]
    if min(len(new), len(other)) < limits.drift_images:
        return None
    return float(np.median(new) - np.median(other))


def drifted(drift: float | None, limits: GrowConfig) -> bool:
    """Whether the model no longer fits what comes in."""
    return drift is not None and limits.drift_degrees is not None and drift > limits.drift_degrees
