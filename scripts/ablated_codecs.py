"""Writes variants of a codec that lack a part, to compare them with the whole (`scripts/compare_codecs.py`).

    python scripts/ablated_codecs.py CODEC VARIANTS public.npz

- `without-refiner`: its encoder and generator alone, mean images without drawn detail or noise on codes;
- `pca-with-refiner`: the principal components of its public images in place of encoder and generator; its refiner.

Latents have as many numbers in each, and all learned from the same public images.
"""

import sys
from pathlib import Path

import torch
from jsonargparse import auto_cli

from hf_hybrid.commands.cli import guarded
from hf_hybrid.data.pixels import to_tensor
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.calibration import reconstruction_error_range
from hf_hybrid.models.public_images import HELD_OUT, PublicImages, shrunk
from hf_hybrid.synthesis.pipeline import load_codec


def main(codec: str, output_dir: Path, pack: Path) -> int:
    """Writes the folders of the variants.

    Args:
        codec: `builtin:NAME`, folder or Hub id, of a codec with principal components and refiners.
        output_dir: folder for the variants.
        pack: its public images, as `train_builtin.py pack` wrote them.
    """
    whole, facts = load_codec(codec)
    images = PublicImages.load(pack)
    held_out, learned = images.part(images.tenths == HELD_OUT), images.part(images.tenths > 1).with_equal_sources()
    for name, variant in {
        "without-refiner": _without_refiner(whole),
        "pca-with-refiner": _pca(whole, learned),
    }.items():
        known = reconstruction_error_range(variant, held_out.pixels, held_out.weights)
        variant.save_with_card(output_dir / name, facts["training"] | {"scores": {}, "image_range": known})
    return 0


def _without_refiner(whole: AlphaGAN) -> AlphaGAN:
    arguments = whole.arguments | {"detail_widths": None, "detail_times": None, "code_noise": 0.0}
    return _with_weights(AlphaGAN(**arguments), whole)


def _pca(whole: AlphaGAN, images: PublicImages) -> AlphaGAN:
    """Its encoder and generator add nothing, so that codes are the first principal components."""
    codec = _with_weights(AlphaGAN(**whole.arguments | {"code_noise": 0.0}), whole)
    for network in (codec.encoder, codec.generator):
        torch.nn.init.zeros_(network.end.weight)
        torch.nn.init.zeros_(network.end.bias)
    with torch.inference_mode():
        parts = to_tensor(shrunk(images.pixels, codec.core_side)).split(256)
        codes = torch.cat([codec.encode_raw(part) for part in parts])
    codec.latents_mean.copy_(codes.mean(0))
    codec.latents_std.copy_(codes.std(0))
    return codec


def _with_weights(codec: AlphaGAN, whole: AlphaGAN) -> AlphaGAN:
    wanted = codec.state_dict()
    codec.load_state_dict({name: tensor for name, tensor in whole.state_dict().items() if name in wanted})
    return codec.eval()


if __name__ == "__main__":
    sys.exit(guarded(lambda: auto_cli(main, as_positional=True)))
