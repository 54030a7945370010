"""The descent: Adam on the pixels of a batch of images.

An image is the sum of its octaves: levels of the full size, half of it, and so on. A step of the optimizer moves a
coarse level as far as a fine one, so large shapes settle first, and colors less far than brightness; with one octave
and full color the pixels themselves are optimized, as in the paper. The state between two steps is the levels, Adam's
moments and the number of steps, and all random draws are functions of seed, step and image: a descent that continues
from its state takes the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from purify.config import InvertConfig
from purify.inversion.batchnorm_prior import BatchNormPrior, PriorLayers, frozen
from purify.inversion.image_views import enlarge, first_noise, flipped, image_numbers, jittered, scale_color
from purify.inversion.objective import IdentityTerm, LossTerms, squared_norm, total_variation
from purify.models.optimizers import Adam
from purify.models.precision import autocast

_SCALER, _LEVEL, _STEP = "scaler.", "level.", "step"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def learning_rate_at(step: int, config: InvertConfig) -> float:
    """Linear warm-up, then constant, or half a cosine down to zero."""
    warmup = config.warmup_share * config.steps
    rate = config.learning_rate * min(1.0, (step + 1) / max(1.0, warmup))
    if config.schedule == "cosine":
        share = max(0.0, step - warmup) / max(1.0, config.steps - warmup)
        rate *= (1 + math.cos(math.pi * share)) / 2
    return rate


@dataclass(frozen=True)
class Subject:
    """What is inverted.

    Attributes
    ----------
    network
        ``images[N, 3, S, S]`` in [-1, 1] -> ``features[N, D]``; it is only read.
    identity
        Draws row n of the features to its target.
    names
        N different names; each image's random draws depend on its own.
    side
        S, the network's input size in pixels.
    """

    network: nn.Module
    identity: IdentityTerm
    names: Sequence[str]
    side: int


class Descent:
    """The images of one batch, on their way to their targets.

    Parameters
    ----------
    subject
        The network and its targets.
    config
        The recipe.
    seed
        Of noise, jitter and flips.
    device
        Of the network.
    dtype
        In which the network computes; below float32 by autocast.
    """

    def __init__(
        self, subject: Subject, config: InvertConfig, *, seed: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._subject, self._config, self._seed, self._device, self._dtype = subject, config, seed, device, dtype
        self._numbers = image_numbers(subject.names)
        self._layers = PriorLayers(config.batchnorm_2d, config.batchnorm_1d, config.batchnorm_first)
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.step = 0
        sides = [-(-subject.side // 2**octave) for octave in range(config.octaves)]
        self._begin([self._noise(side, std=config.start_std / config.octaves).to(device) for side in sides])

    @property
    def done(self) -> bool:
        """Whether all steps of the recipe are taken."""
        return self.step >= self._config.steps

    def run(self, steps: int) -> LossTerms:
        """Take at most `steps` further steps, and at least one; the terms of the last, before its update.

        The network is as before afterwards, whatever happens.
        """
        with frozen(self._subject.network):
            for _ in range(max(1, min(steps, self._config.steps - self.step))):
                terms = self._advance()
        return terms.detached()

    def pixels(self) -> npt.NDArray[np.uint8]:
        """The images as ``uint8[N, 3, S, S]``."""
        with torch.no_grad():
            images = self._images().float()
        return (images.clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8).cpu().numpy()

    def terms(self) -> LossTerms:
        """The terms of the images as they are, without jitter or flip."""
        with torch.no_grad(), frozen(self._subject.network):
            return self._terms(self._images().clamp(-1, 1))

    def state(self) -> dict[str, Tensor]:
        """A copy of the state, on the CPU."""
        state = {_STEP: torch.tensor(self.step)}
        for number, level in enumerate(self._levels):
            state[f"{_LEVEL}{number}"] = level.detach()
            moments = self._optimizer.state.get(level, {})
            state |= {f"{_LEVEL}{number}.{name}": moments[name] for name in _MOMENTS if name in moments}
        state |= {
            _SCALER + name: torch.tensor(value, dtype=torch.float64)
            for name, value in self._scaler.state_dict().items()
        }
        return {name: tensor.cpu().clone() for name, tensor in state.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state` of a descent with the same subject, recipe and seed."""
        self.step = int(state[_STEP])
        self._begin([state[f"{_LEVEL}{number}"].to(self._device) for number in range(self._config.octaves)])
        for number, level in enumerate(self._levels):
            names = [name for name in _MOMENTS if f"{_LEVEL}{number}.{name}" in state]
            if names:
                found = {name: state[f"{_LEVEL}{number}.{name}"].clone() for name in names}
                moved = {name: found[name] if name == "step" else found[name].to(self._device) for name in names}
                self._optimizer.state[level] = moved
        scaler = {
            name.removeprefix(_SCALER): tensor.item() for name, tensor in state.items() if name.startswith(_SCALER)
        }
        if scaler:
            whole = {
                name: int(value) if name.endswith(("interval", "tracker")) else value for name, value in scaler.items()
            }
            self._scaler.load_state_dict(whole)

    def _noise(self, side: int, *, std: float) -> Tensor:
        return first_noise(self._numbers, seed=self._seed, side=side, std=std)

    def _begin(self, levels: Sequence[Tensor]) -> None:
        """Optimize `levels` from here on, the finest first, with fresh moments."""
        self._levels = [nn.Parameter(level.clone()) for level in levels]
        self._optimizer = Adam(self._levels, lr=self._config.learning_rate, eps=1e-8)

    @property
    def _coarse(self) -> bool:
        return len(self._levels) > 1 and self.step < self._config.coarse_share * self._config.steps

    def _images(self) -> Tensor:
        """``[N, 3, S, S]``: the sum of the levels, without the finest one in the coarse steps."""
        levels = self._levels[1:] if self._coarse else self._levels
        summed = torch.stack([enlarge(level, self._subject.side) for level in levels]).sum(dim=0)
        return scale_color(summed, self._config.color)

    def _advance(self) -> LossTerms:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, self._config)
        terms = self._terms(self._view())
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(terms.weighted(self._config)).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.step += 1
        if self._config.clip and not self._coarse:
            self._clip()
        return terms

    def _clip(self) -> None:
        """Keep the images in their range, by what the finest level takes on."""
        with torch.no_grad():
            images = self._images()
            self._levels[0].add_(scale_color(images.clamp(-1, 1) - images, 1 / self._config.color))

    def _view(self) -> Tensor:
        config, drawn = self._config, {"seed": self._seed, "step": self.step}
        images = jittered(self._images(), config.jitter, **drawn)
        return flipped(images, self._numbers, **drawn) if config.flip else images

    def _terms(self, images: Tensor) -> LossTerms:
        network, config = self._subject.network, self._config
        laid = images.contiguous(memory_format=torch.channels_last)
        if config.batchnorm == 0:
            features, prior = self._features(network, laid), torch.zeros((), device=images.device)
        else:
            with BatchNormPrior(network, self._layers) as measured:
                features = self._features(network, laid)
                prior = measured.take()
        return LossTerms(self._subject.identity(features), prior, total_variation(images), squared_norm(images))

    def _features(self, network: nn.Module, images: Tensor) -> Tensor:
        with autocast(self._device, self._dtype):
            features: Tensor = network(images)
        return features.float()
