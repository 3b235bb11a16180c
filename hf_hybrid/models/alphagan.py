"""AlphaGAN: the codec between images and standardised latents (Rosca et al. 2017, arXiv 1706.04987)."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from diffusers.configuration_utils import FrozenDict, register_to_config
from torch import nn
from torch.nn import functional

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.randomness import seed_for
from hf_hybrid.models.codec import Codec, DecoderOutput, EncoderOutput
from hf_hybrid.models.layers import Encoder, Generator, PrincipalComponents, ResidualNetwork
from hf_hybrid.models.refiner import Refiner

RESOLUTIONS = (32, 64, 128, 256, 512)


class AlphaGAN(Codec):
    """Encoder and generator of an auto-encoding GAN.

    Both work at `core_resolution`. Refiners draw the detail that the latents do not determine; each of them doubles
    the resolution. Without them an image is its blurred mean.

    In parallel to the convolutions, a linear path works at `linear_resolution`. It is initialised with a PCA of the
    training images (`initialise_linear_path`): with few images or a short training, the codec then starts from the
    best linear code instead of noise. With `num_components`, encoder and generator work on as many principal
    components instead of pixels, a hundred times faster: a CPU trains them in minutes.

    Args:
        resolution: height and width in pixels, a power of two from 32 to 512.
        in_channels: 1 (grey) or 3 (RGB).
        latent_dim: length of a latent.
        base_channels: channels at half the resolution, doubled at each further halving.
        max_channels: where the doubling stops.
        layers_per_block: convolutions at each resolution.
        norm: `group` or `none`; batch norm is not offered, since a record's code must not depend on its neighbours.
        linear_path: whether to build the linear path.
        linear_resolution: resolution at which it works.
        resize_mode: how images that are not square become square, `crop` (their middle) or `pad` (all, on black); a
            setting for the code that prepares images, not applied here.
        core_resolution: resolution of encoder and generator; `resolution` if None.
        detail_widths: channels of each refiner, from `2 * core_resolution` upwards; none and no drawn detail if None.
        detail_times: where each refiner's steps begin, from 1 downwards: as many steps.
        num_components: principal components that encoder and generator work on instead of convolutions; 0 for none.
        code_noise: sd at the start of a training of the normal noise on codes (see `log_code_noise`); 0 for none.
        private_images: whether it learns from images that are not public; it is pushed only with a report then.
    """

    name = "alphagan"
    citation = "Rosca et al. 2017, alphaGAN, [arXiv:1706.04987](https://arxiv.org/abs/1706.04987)"
    is_closed_form = False

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,
        in_channels: int = 1,
        latent_dim: int = 64,
        base_channels: int = 32,
        max_channels: int = 256,
        layers_per_block: int = 1,
        norm: str = "group",
        linear_path: bool = True,
        linear_resolution: int = 64,
        resize_mode: str = "crop",
        core_resolution: int | None = None,
        detail_widths: list[list[int]] | None = None,
        detail_times: list[list[float]] | None = None,
        num_components: int = 0,
        code_noise: float = 0.0,
        private_images: bool = False,
    ) -> None:
        super().__init__()
        core, detail_widths, detail_times = core_resolution or resolution, detail_widths or [], detail_times or []
        _check_configuration(self.config)
        _check_detail(resolution, core, detail_widths, detail_times)
        self._add_networks()
        self.refiners = nn.ModuleList(
            Refiner(in_channels, list(one), list(times))
            for one, times in zip(detail_widths, detail_times, strict=True)
        )
        # Log of the sd of each number's noise: what a latent says beyond it is drawn, as all other detail is.
        self.log_code_noise = nn.Parameter(torch.full((latent_dim,), math.log(code_noise))) if code_noise else None
        self.register_buffer("latents_mean", torch.zeros(latent_dim))
        self.register_buffer("latents_std", torch.ones(latent_dim))

    def _add_networks(self) -> None:
        """Encoder, generator and the linear path or the principal components."""
        config = self.config
        shape = config.in_channels, self.linear_side, self.linear_side
        values, latent_dim, layers = math.prod(shape), config.latent_dim, config.layers_per_block
        if size := config.num_components:
            self.components = PrincipalComponents(shape, size)
            self.encoder: nn.Module = ResidualNetwork(size, size, latent_dim, layers)
            self.generator: nn.Module = ResidualNetwork(latent_dim, size, size, layers)
            return
        stages = range(self.core_side.bit_length() - 3)
        widths = [min(config.base_channels * 2**stage, config.max_channels) for stage in stages]
        self.encoder = Encoder(config.in_channels, widths, layers, config.norm, latent_dim)
        self.generator = Generator(config.in_channels, widths, layers, config.norm, latent_dim)
        if config.linear_path:
            self.linear_encoder, self.linear_decoder = nn.Linear(values, latent_dim), nn.Linear(latent_dim, values)
            for last in (self.encoder.layers[-1], self.generator.layers[-1]):  # the convolutions start at zero output
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)

    def linear_parameters(self) -> list[nn.Parameter]:
        """Parameters of the linear path, empty without one."""
        if not self._is_linear:
            return []
        return [*self.linear_encoder.parameters(), *self.linear_decoder.parameters()]

    @property
    def _is_linear(self) -> bool:
        return self.config.linear_path and not self.config.num_components

    @property
    def linear_side(self) -> int:
        """Height and width of the images that the linear path sees."""
        return min(self.config.linear_resolution, self.core_side)

    @property
    def core_side(self) -> int:
        """Height and width of the images that encoder and generator work on."""
        return self.config.core_resolution or self.config.resolution

    def encode_raw(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Images in [-1, 1] -> codes before standardisation, which the code discriminator pulls towards N(0, 1)."""
        pixel_values = resized(pixel_values, self.core_side)
        if self.config.num_components:
            numbers = self.components.encode(resized(pixel_values, self.linear_side))
            return numbers[:, : self.config.latent_dim] + self.encoder(numbers)
        codes = self.encoder(pixel_values)
        if self._is_linear:
            codes = codes + self.linear_encoder(resized(pixel_values, self.linear_side).flatten(1))
        return codes

    def decode_raw(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes before standardisation -> mean images at the core's resolution, not yet clipped to [-1, 1]."""
        if self.config.num_components:
            # What the network adds is in one unit for all components: they are pixels of the same image.
            scale, missing = self.components.scale, self.config.num_components - codes.shape[1]
            added = self.generator(codes) * scale[: codes.shape[1]].mean() / scale
            return resized(self.components.decode(functional.pad(codes, (0, missing)) + added), self.core_side)
        images = self.generator(codes)
        if self._is_linear:
            small = self.linear_decoder(codes).view(-1, self.config.in_channels, self.linear_side, self.linear_side)
            images = images + resized(small, self.core_side)
        return images

    def with_noise(self, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Codes before standardisation with their noise, from normal noise of the same shape."""
        return codes if self.log_code_noise is None else codes + self.log_code_noise.exp() * noise

    def standardise(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes -> latents with mean 0 and sd 1 over the training images."""
        return (codes - self.latents_mean) / self.latents_std

    def unstandardise(self, latents: torch.Tensor) -> torch.Tensor:
        """Inverse of `standardise`."""
        return latents * self.latents_std + self.latents_mean

    def encode(self, pixel_values: torch.Tensor) -> EncoderOutput:
        """Images `(batch, channels, height, width)` in [-1, 1] -> latents `(batch, latent_dim)`."""
        expected = (self.config.in_channels, self.config.resolution, self.config.resolution)
        if tuple(pixel_values.shape[1:]) != expected:
            raise ValueError(f"expected `pixel_values` (batch, {expected}), found {tuple(pixel_values.shape)}: resize")
        return EncoderOutput(latents=self.standardise(self.encode_raw(pixel_values)))

    def mean_images(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents -> mean images in [-1, 1] at the core's resolution."""
        return self.decode_raw(self.unstandardise(latents)).clamp(-1, 1)

    def decode(self, latents: torch.Tensor, seeds: Sequence[int] | None = None, detail: bool = True) -> DecoderOutput:
        """Latents `(batch, latent_dim)` -> images `(batch, channels, height, width)` in [-1, 1], see `Codec`."""
        if not detail:
            return DecoderOutput(sample=resized(self.mean_images(latents), self.config.resolution))
        codes = self.unstandardise(latents)
        streams = [torch.Generator().manual_seed(int(one)) for one in (range(len(codes)) if seeds is None else seeds)]
        if self.log_code_noise is not None:
            noise = torch.stack([torch.randn(codes.shape[1], generator=stream) for stream in streams])
            codes = self.with_noise(codes, noise.to(codes))
        images = self.decode_raw(codes).clamp(-1, 1)
        for refiner in self.refiners:
            images = resized(images, 2 * images.shape[-1])
            noise = torch.stack([torch.randn(images.shape[1:], generator=stream) for stream in streams])
            images = refiner.draw(images, noise.to(images)).clamp(-1, 1)
        return DecoderOutput(sample=resized(images, self.config.resolution))

    def forward(self, pixel_values: torch.Tensor) -> DecoderOutput:
        """Reconstructs images."""
        return self.decode(self.encode(pixel_values).latents)

    @torch.no_grad()
    def initialise_linear_path(self, pixel_values: torch.Tensor) -> None:
        """Sets the linear path, or the principal components, to a PCA whose codes have sd 1 (no-op without one).

        Args:
            pixel_values: training images `(batch, channels, height, width)` in [-1, 1], more than the PCA's numbers.
        """
        if not (self.config.linear_path or self.config.num_components):
            return
        images = functional.interpolate(pixel_values, size=self.linear_side, mode="area").flatten(1)
        mean, components, scale = principal_components(images, self.config.num_components or self.config.latent_dim)
        if self.config.num_components:
            self.components.fill(mean, components, scale)
            return
        self.linear_encoder.weight.copy_(components / scale[:, None])
        self.linear_encoder.bias.copy_(-(self.linear_encoder.weight @ mean))
        self.linear_decoder.weight.copy_((components * scale[:, None]).T)
        self.linear_decoder.bias.copy_(mean)


def resized(images: torch.Tensor, side: int) -> torch.Tensor:
    """Images `(batch, channels, height, width)` at another resolution: means of areas down, bilinear up."""
    if images.shape[-1] == side:
        return images
    if images.shape[-1] > side:
        return functional.interpolate(images, size=side, mode="area")
    return functional.interpolate(images, size=side, mode="bilinear", align_corners=False)


def principal_components(images: torch.Tensor, latent_dim: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """PCA: images `(n, d)` -> mean `(d,)`, components `(latent_dim, d)`, standard deviations `(latent_dim,)`."""
    from sklearn.decomposition import PCA

    if len(images) <= latent_dim:
        raise InputError(
            f"expected more training images than `latent_dim` {latent_dim}, found {len(images)}: lower `latent_dim`"
        )
    pca = PCA(latent_dim, svd_solver="randomized", random_state=seed_for(0, "codec: PCA", bits=32)).fit(
        images.cpu().numpy()
    )
    found = pca.mean_, pca.components_, np.sqrt(pca.explained_variance_).clip(1e-6)
    return tuple(torch.as_tensor(array, dtype=images.dtype) for array in found)


def _check_configuration(config: FrozenDict) -> None:
    if config.resolution not in RESOLUTIONS:
        raise InputError(f"expected `resolution` among {RESOLUTIONS}, found {config.resolution}")
    if config.in_channels not in (1, 3):
        raise InputError(f"expected `in_channels` 1 (grey) or 3 (RGB), found {config.in_channels}")
    if min(config.latent_dim, config.base_channels, config.max_channels, config.layers_per_block) < 1:
        raise InputError("expected `latent_dim`, `base_channels`, `max_channels` and `layers_per_block` of at least 1")
    if config.norm not in ("group", "none"):
        raise InputError(f"expected `norm` group or none, found {config.norm!r}")
    if config.resize_mode not in ("crop", "pad"):
        raise InputError(f"expected `resize_mode` crop or pad, found {config.resize_mode!r}")
    if config.num_components and config.num_components < config.latent_dim:
        raise InputError(
            f"expected `num_components` of at least `latent_dim` {config.latent_dim}, found {config.num_components}"
        )


def _check_detail(resolution: int, core: int, widths: Sequence, times: Sequence) -> None:
    if core not in RESOLUTIONS or core > resolution:
        raise InputError(f"expected `core_resolution` among {RESOLUTIONS} up to {resolution}, found {core}")
    if len(widths) != len(times) or (widths and core * 2 ** len(widths) != resolution):
        raise InputError(
            f"expected `detail_widths` and `detail_times` for each doubling from {core} to {resolution} pixels, found "
            f"{len(widths)} and {len(times)}"
        )
    for one in times:
        if not one or one[0] != 1 or list(one) != sorted(set(one), reverse=True) or one[-1] <= 0:
            raise InputError(f"expected `detail_times` from 1 downwards, above 0, found {list(one)}")
