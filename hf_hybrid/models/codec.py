"""The contract of every codec: images to standardised latents and back, saved without pickle, pushed with a card."""

import copy
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.utils import BaseOutput

from hf_hybrid.core.artifacts import CARD, CONFIG, SAMPLES, WEIGHTS
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.provenance import hash_files, versions, write_provenance
from hf_hybrid.core.randomness import generator
from hf_hybrid.data.pixels import encode_png, image_grid, to_uint8
from hf_hybrid.models.builtin import codec_folder, is_builtin

NOT_STATED = {"images": "images that are not stated", "steps": 0, "seed": 0, "scores": {}}
_FACTS = ("name", "citation", "is_closed_form")
_CONFIGURATION = ("resolution", "in_channels", "latent_dim", "resize_mode", "private_images")


@dataclass
class EncoderOutput(BaseOutput):
    """Latents `(batch, latent_dim)`, standardised: over the training images each has mean 0 and sd 1."""

    latents: torch.Tensor


@dataclass
class DecoderOutput(BaseOutput):
    """Images `(batch, channels, height, width)` in [-1, 1]."""

    sample: torch.Tensor


class Codec(ModelMixin, ConfigMixin):
    """Encodes images as latents and decodes latents into images.

    A codec's facts are on its class and are checked when it is defined. Its constructor is its configuration
    (`register_to_config`) and takes at least `resolution` (height and width in pixels), `in_channels` (1 or 3),
    `latent_dim`, `resize_mode` (`crop` or `pad`, how other code makes images square) and `private_images` (whether it
    learns from images that are not public).

    Attributes:
        name: in the registry.
        citation: of the method, as Markdown.
        is_closed_form: whether it learns without steps.
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    is_closed_form: ClassVar[bool]

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Refuses a class without its facts, its two methods or an argument that other code reads."""
        super().__init_subclass__(**kwargs)
        absent = [fact for fact in _FACTS if not hasattr(cls, fact)]
        absent += [method for method in ("encode", "decode") if getattr(cls, method) is getattr(Codec, method)]
        absent += [argument for argument in _CONFIGURATION if argument not in cls._get_init_keys(cls)]
        assert not absent, f"expected {absent} on {cls.__name__}, found none"

    def encode(self, pixel_values: torch.Tensor) -> EncoderOutput:
        """Images `(batch, channels, height, width)` in [-1, 1] -> latents `(batch, latent_dim)`."""
        raise NotImplementedError

    def decode(self, latents: torch.Tensor, seeds: Sequence[int] | None = None, detail: bool = True) -> DecoderOutput:
        """Latents `(batch, latent_dim)` -> images `(batch, channels, height, width)` in [-1, 1].

        Args:
            latents: of the images.
            seeds: of detail that the latents do not determine, one a record: an image depends on its latents and its
                seed alone. 0, 1, ... if None. A codec that draws no detail takes them and does not use them.
            detail: whether to draw such detail; the mean image if not.
        """
        raise NotImplementedError

    def mean_images(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents -> mean images in [-1, 1] at the resolution that the codec makes them at, before enlargement."""
        return self.decode(latents, detail=False).sample

    @property
    def arguments(self) -> dict:
        """The constructor's arguments, without what diffusers adds."""
        return {name: value for name, value in self.config.items() if not name.startswith("_")}

    def facts(self, training: dict | None = None) -> dict:
        """What provenance and cards say of the codec; `training` as in `save_with_card`."""
        return {
            "class": type(self).__name__,
            "citation": self.citation,
            "config": self.arguments,
            "training": training or NOT_STATED,
        }

    @torch.inference_mode()
    def save_with_card(self, folder: str | Path, training: dict | None = None, license: str | None = None) -> None:
        """Writes what a codec's repository holds: weights, provenance, sample grid and, last of all, the card.

        Args:
            folder: where to write.
            training: `images` (what they are), `steps`, `seed` and `scores`; None when that is not known.
            license: an identifier of the Hub for the card.
        """
        from hf_hybrid.reports import cards  # a training needs neither cards nor the Hub

        folder = Path(folder)
        (folder / SAMPLES).parent.mkdir(parents=True, exist_ok=True)
        self.save_pretrained(folder)
        noise = torch.randn(32, self.config.latent_dim, generator=generator(0, "codec: images of the card"))
        grid = image_grid(to_uint8(self.decode(noise.to(self.device)).sample))
        (folder / SAMPLES).write_bytes(encode_png(grid))
        said = {"license": license} if license else {}
        files = hash_files(folder, (CONFIG, WEIGHTS, SAMPLES))
        write_provenance(folder, {"versions": versions(), "codec": self.facts(training), **said, "files": files})
        cards.codec_card(folder).save(folder / CARD)

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> None:
        """As diffusers does; a part that float16 holds exactly is saved so: what came in float16 keeps its bytes."""
        saved = copy.deepcopy(self)
        for part in (saved, *saved.children()):
            if all(torch.equal(tensor.half().to(tensor), tensor) for tensor in part.state_dict().values()):
                part.half()
        ModelMixin.save_pretrained(saved, save_directory, **kwargs)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        public: bool = False,
        gated: bool | None = None,
        license: str | None = None,
        token: str | None = None,
    ) -> str:
        """Saves and uploads the codec by `hub.push` (private unless `public`); returns the repository's address.

        The card then says that the training is not stated; a folder that train-codec made has a card with more.
        """
        from hf_hybrid.hub import upload

        with tempfile.TemporaryDirectory(prefix="hf_hybrid-") as folder:
            self.save_with_card(folder, license=license)
            return upload.push(folder, repo_id, public=public, gated=gated, token=token).url

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs) -> Self:
        """Loads a codec of the package (`builtin:NAME`), a folder or a Hub id; only safetensors, computed in float32.

        Raises:
            InputError: nothing there, or another class's model (diffusers itself would load it with random weights).
        """
        if is_builtin(pretrained_model_name_or_path):
            pretrained_model_name_or_path = codec_folder(pretrained_model_name_or_path)
        if "dtype" not in kwargs:
            kwargs.setdefault("torch_dtype", torch.float32)
        try:
            config = cls.load_config(
                pretrained_model_name_or_path, **{k: kwargs[k] for k in _HUB_ARGUMENTS if k in kwargs}
            )
            if config.get("_class_name") != cls.__name__:
                raise InputError(
                    f"expected a {cls.__name__} in `{pretrained_model_name_or_path}`, found "
                    f"{config.get('_class_name')}: name a codec that hf-hybrid train-codec made"
                )
            codec = super().from_pretrained(pretrained_model_name_or_path, use_safetensors=True, **kwargs)
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(
                f"expected an {cls.__name__} codec ({CONFIG} and safetensors), found none that loads at "
                f"`{pretrained_model_name_or_path}`: {type(error).__name__}; check the folder or Hub id and the token"
            ) from None
        # diffusers would save this machine's path with the next copy.
        codec.register_to_config(_name_or_path=None)
        return codec


_HUB_ARGUMENTS = ("subfolder", "revision", "token", "cache_dir", "local_files_only", "force_download")
