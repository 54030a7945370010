"""dlib's face network (ResNet-29, 150x150 pixels to 128 numbers) as a PyTorch module, its weights read from the .dat.

Its architecture and normalization are those of dlib's ``dnn_face_recognition_ex.cpp`` by Davis King, who gave the
trained weights to the public domain (CC0). PyTorch computes it in batches, on all cores or a GPU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from purify.errors import InputError

#: Side of the input in pixels, and length of an embedding.
CHIP_SIZE, DLIB_DIM = 150, 128
#: Subtracted from red, green and blue (0 to 255); then all are divided by 256.
_MEANS, _RANGE = (122.782, 117.001, 104.298), 256.0
#: Channels of the 14 residual blocks; the blocks with stride 2 are those that begin a level, but for the first.
_WIDTHS = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)
_DOWN = (3, 7, 10, 13)


class DlibResNet(nn.Module):
    """``images[N, 3, 150, 150]`` float RGB in 0..255 -> dlib's ``embeddings[N, 128]``, not normalized."""

    means: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _WIDTHS[0], 7, stride=2)
        inputs = (_WIDTHS[0], *_WIDTHS)
        blocks = (_Block(inputs[i], width, 2 if i in _DOWN else 1) for i, width in enumerate(_WIDTHS))
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(_WIDTHS[-1], DLIB_DIM, bias=False)
        self.register_buffer("means", torch.tensor(_MEANS).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Embed the images."""
        features = functional.relu(self.stem((images - self.means) / _RANGE))
        features = self.blocks(functional.max_pool2d(features, 3, stride=2))
        return self.fc(features.mean(dim=(2, 3)))


class _Block(nn.Module):
    """A residual block; with stride 2, the shortcut is pooled. Whatever is smaller is filled up with zeros."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, stride=stride, padding=0 if stride > 1 else 1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        deep = self.second(functional.relu(self.first(features)))
        short = functional.avg_pool2d(features, 2, stride=2) if self.stride > 1 else features
        return functional.relu(_filled(deep, short) + _filled(short, deep))


def _filled(features: Tensor, other: Tensor) -> Tensor:
    """`features` with zeros up to the channels, rows and columns of `other`, where it has fewer."""
    missing = [max(0, wanted - given) for wanted, given in zip(other.shape[1:], features.shape[1:], strict=True)]
    channels, rows, columns = missing
    return functional.pad(features, (0, columns, 0, rows, 0, channels)) if any(missing) else features


def load_dlib_resnet(path: Path) -> DlibResNet:
    """The network with the weights of ``dlib_face_recognition_resnet_model_v1.dat``; InputError if it isn't that file.

    dlib's affine layers, each after a convolution, are folded into its weights.
    """
    data = path.read_bytes()
    try:
        return _network(data)
    except (IndexError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not the weights of dlib's face network") from error


def _network(data: bytes) -> DlibResNet:
    network, place = DlibResNet(), 0
    convolutions = [network.stem]
    for block in network.blocks:
        convolutions += [block.first, block.second]  # type: ignore[list-item]
    for convolution in convolutions:
        weights, place = _tensor_after(data, b"con_4", place)
        affine, place = _tensor_after(data, b"affine_", place)
        outputs = convolution.out_channels
        filters, bias = weights[:-outputs], weights[-outputs:]
        gamma, beta = affine[:outputs], affine[outputs:]
        convolution.weight.data = filters.view_as(convolution.weight) * gamma.view(-1, 1, 1, 1)
        convolution.bias.data = bias * gamma + beta  # type: ignore[union-attr]
    last, _ = _tensor_after(data, b"fc_2", place, before=2)
    network.fc.weight.data = last.view(_WIDTHS[-1], DLIB_DIM).T.contiguous()
    return network.eval()


def _tensor_after(data: bytes, layer: bytes, place: int, *, before: int = 0) -> tuple[Tensor, int]:
    """The parameters of the next layer of a kind from `place` on, flat, and the place behind them.

    dlib writes the name of a layer, `before` numbers of some kinds, a version, four dimensions, and 32-bit floats,
    little-endian.
    """
    place = data.index(_text(layer), place) + len(_text(layer))
    numbers = []
    for _ in range(before + 5):
        number, place = _whole_number(data, place)
        numbers.append(number)
    count = int(np.prod(numbers[before + 1 :]))
    values = np.frombuffer(data, "<f4", count, place).astype(np.float32)
    return torch.from_numpy(values), place + 4 * count


def _text(text: bytes) -> bytes:
    return bytes([1, len(text)]) + text


def _whole_number(data: bytes, place: int) -> tuple[int, int]:
    """A number as dlib writes it: a byte with its length (and the sign, which no count has), then little-endian."""
    length = data[place] & 0x0F
    return int.from_bytes(data[place + 1 : place + 1 + length], "little"), place + 1 + length
