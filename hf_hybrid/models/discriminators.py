"""The two discriminators of an alphaGAN; they stay in the training checkpoint and are never handed on."""

import copy

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from hf_hybrid.core.randomness import seed_for
from hf_hybrid.models.alphagan import AlphaGAN, resized
from hf_hybrid.models.layers import PrincipalComponents


class ImageDiscriminator(nn.Module):
    """Real images against reconstructions and prior samples; spectral normalisation keeps it Lipschitz (Miyato 2018).

    Args:
        resolution: height and width, a power of two.
        in_channels: 1 (grey) or 3.
        base_channels: channels behind the first convolution, doubled at each halving of the resolution.
        max_channels: where the doubling stops.
    """

    def __init__(self, resolution: int, in_channels: int, base_channels: int, max_channels: int) -> None:
        super().__init__()
        layers, channels = [], in_channels
        for stage in range(resolution.bit_length() - 3):
            width = min(base_channels * 2**stage, max_channels)
            layers += [spectral_norm(nn.Conv2d(channels, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Flatten(), spectral_norm(nn.Linear(channels * 16, 1)))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Images `(batch, channels, height, width)` -> logits `(batch,)` of being real."""
        return self.layers(pixel_values).squeeze(1)


class ComponentDiscriminator(nn.Module):
    """The same task on the principal components of images, for a codec whose networks work on them.

    Args:
        components: of the codec; copied.
        width: of the hidden layers.
    """

    def __init__(self, components: PrincipalComponents, width: int = 256) -> None:
        super().__init__()
        self.components = copy.deepcopy(components)
        size = len(components.scale)
        layers = [spectral_norm(nn.Linear(size, width)), nn.LeakyReLU(0.2)]
        layers += [spectral_norm(nn.Linear(width, width)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Linear(width, 1)))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Images `(batch, channels, height, width)` -> logits `(batch,)` of being real."""
        small = resized(pixel_values, self.components.shape[-1])
        return self.layers(self.components.encode(small)).squeeze(1)


class CodeDiscriminator(nn.Module):
    """Prior codes against encoded ones. No batch norm here: it removes the statistics that distinguish them."""

    def __init__(self, latent_dim: int, hidden_dim: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden_dim, hidden_dim),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden_dim, 1),
        )

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Codes `(batch, latent_dim)` -> logits `(batch,)` of coming from the prior."""
        return self.layers(latents).squeeze(1)


def make_discriminators(codec: AlphaGAN, seed: int) -> nn.ModuleDict:
    """The discriminators `image` and `code` of a codec whose principal components, if it has them, are known."""
    config = codec.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "codec: discriminators"))
        if config.num_components:
            image: nn.Module = ComponentDiscriminator(codec.components)
        else:
            image = ImageDiscriminator(
                config.resolution, config.in_channels, config.base_channels, config.max_channels
            )
        return nn.ModuleDict({"image": image, "code": CodeDiscriminator(config.latent_dim)})


def binary_loss(logits: torch.Tensor, real: bool) -> torch.Tensor:
    """Binary cross-entropy of logits against one answer: -log D or -log(1 - D)."""
    return functional.softplus(-logits.float() if real else logits.float()).mean()
