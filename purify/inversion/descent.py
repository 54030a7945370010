"""The descent: Adam on the pixels of a batch of images.

The state between two steps is the images, Adam's moments and the number of steps, and all random draws are functions
of seed, step and image: a descent that continues from its state takes the same steps.
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
from purify.inversion.image_views import enlarge, first_noise, flipped, image_numbers, jittered
from purify.inversion.objective import IdentityTerm, LossTerms, squared_norm, total_variation
from purify.models.precision import autocast

_SCALER, _IMAGES, _STEP = "scaler.", "images", "step"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_COARSE_FACTOR = 2


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
        noise = first_noise(self._numbers, seed=seed, side=self._side_at(0), std=config.start_std)
        self._begin(noise.to(device))

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
        images = enlarge(self._images.detach(), self._subject.side).float()
        return (images.clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8).cpu().numpy()

    def terms(self) -> LossTerms:
        """The terms of the images as they are, without jitter or flip."""
        with torch.no_grad(), frozen(self._subject.network):
            return self._terms(enlarge(self._images.clamp(-1, 1), self._subject.side))

    def state(self) -> dict[str, Tensor]:
        """A copy of the state, on the CPU."""
        moments = self._optimizer.state.get(self._images, {})
        state = {name: moments[name] for name in _MOMENTS if name in moments}
        state = {f"adam.{name}": tensor for name, tensor in state.items()}
        state |= {_IMAGES: self._images.detach(), _STEP: torch.tensor(self.step)}
        state |= {
            _SCALER + name: torch.tensor(value, dtype=torch.float64)
            for name, value in self._scaler.state_dict().items()
        }
        return {name: tensor.cpu().clone() for name, tensor in state.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state` of a descent with the same subject, recipe and seed."""
        self.step = int(state[_STEP])
        self._begin(state[_IMAGES].to(self._device))
        moments = {name: state[f"adam.{name}"] for name in _MOMENTS if f"adam.{name}" in state}
        if moments:
            placed = {name: tensor.to("cpu" if name == "step" else self._device) for name, tensor in moments.items()}
            self._optimizer.state[self._images] = {name: tensor.clone() for name, tensor in placed.items()}
        scaler = {
            name.removeprefix(_SCALER): tensor.item() for name, tensor in state.items() if name.startswith(_SCALER)
        }
        if scaler:
            whole = {
                name: int(value) if name.endswith(("interval", "tracker")) else value for name, value in scaler.items()
            }
            self._scaler.load_state_dict(whole)

    def _begin(self, images: Tensor) -> None:
        """Optimize `images` from here on, with fresh moments."""
        self._images = nn.Parameter(images.clone())
        self._optimizer = torch.optim.Adam([self._images], lr=self._config.learning_rate, eps=1e-8)

    def _side_at(self, step: int) -> int:
        coarse = step < self._config.coarse_share * self._config.steps
        return -(-self._subject.side // _COARSE_FACTOR) if coarse else self._subject.side

    def _advance(self) -> LossTerms:
        side = self._side_at(self.step)
        if self._images.shape[-1] != side:
            self._begin(enlarge(self._images.detach(), side))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, self._config)
        terms = self._terms(self._view())
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(terms.weighted(self._config)).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._config.clip:
            with torch.no_grad():
                self._images.clamp_(-1, 1)
        self.step += 1
        return terms

    def _view(self) -> Tensor:
        config, drawn = self._config, {"seed": self._seed, "step": self.step}
        images = jittered(enlarge(self._images, self._subject.side), config.jitter, **drawn)
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
