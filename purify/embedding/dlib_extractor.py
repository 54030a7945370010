"""dlib's face network as an extractor of aligned crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from purify.arrays import Vectors
from purify.embedding.backbone import Pending, start_forward, summed_with_mirrored
from purify.models.dlib_resnet import CHIP_SIZE, DLIB_DIM, load_dlib_resnet
from purify.models.precision import Precision, default_device

#: Side to which a crop by the field's five-point template is scaled, and the corner of dlib's square in it. dlib cuts
#: faces closer at the top and wider at the chin: the median of its own 5- and 68-point alignments of 232 aligned crops
#: is a scale of 1.487 to 1.492 from 112 pixels, without rotation, and a shift of (-9, -32).
_CROP_SIZE, _LEFT, _TOP = 167, 9, 32


class DlibExtractor:
    """Crops aligned to the field's five-point template -> dlib's embeddings, at dlib's own scale.

    Their length says how sharp a face is, so they are not normalized. With `flip`, the mean of an image's embedding and
    its mirror image's. InputError if `weights` are not dlib's.
    """

    input_size = _CROP_SIZE
    dim = DLIB_DIM
    precision: Precision = "float32"

    def __init__(self, weights: Path, *, flip: bool = True) -> None:
        self._device = default_device()
        network = load_dlib_resnet(weights).to(self._device)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._flip = flip

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        """``pixels[N, 3, 167, 167]`` uint8 RGB -> ``float32[N, 128]``."""
        return self.start(pixels)()

    def start(self, pixels: npt.NDArray[np.uint8]) -> Pending:
        """Begin to embed a batch."""
        return start_forward(self._forward, pixels, self._device)

    @torch.inference_mode()
    def _forward(self, pixels: torch.Tensor) -> torch.Tensor:
        chips = dlib_chips(pixels.float())
        embeddings: torch.Tensor = (
            summed_with_mirrored(self._network, chips) / 2 if self._flip else self._network(chips)
        )
        return embeddings


def dlib_chips(crops: torch.Tensor) -> torch.Tensor:
    """The squares [N, 3, 150, 150] that dlib would cut: the chin's rows below a crop repeat its last one."""
    missing = _TOP + CHIP_SIZE - crops.shape[2]
    part = crops[:, :, _TOP:, _LEFT : _LEFT + CHIP_SIZE]
    filled = torch.nn.functional.pad(part, (0, 0, 0, missing), mode="replicate")
    return filled.contiguous(memory_format=torch.channels_last)
