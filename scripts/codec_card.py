"""What a codec does to public images: reconstruction, likeness of what it draws, and whether it repeats its images.

    python scripts/codec_card.py --codec CODEC --pack public.npz --output scores.json

Training images are those of tenths 2 to 9 of the patients. All scores are on tenth 0, which no shipped network has
seen, for adults and children apart. A PCA of as many numbers, learned from the same training images, stands beside
everything; what it reveals of training patients is the floor of the attacks. Likeness is measured in features of the
network `radiograph`, which chooses no weights.

The scores are written as JSON and, if the folder has a provenance, into the codec's provenance and card. For a quick
look: `--patients 300 --draws 300 --bootstraps 50`. `--picture FILE` only draws eight images and their reconstructions.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from hf_hybrid.core.artifacts import PROVENANCE
from hf_hybrid.core.cores import num_cores
from hf_hybrid.core.files import write_json
from hf_hybrid.data.pixels import encode_png, image_grid, to_tensor, to_uint8
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.public_images import HELD_OUT, PublicImages, shrunk
from hf_hybrid.studies.codec_study import study_codec, write_evidence


@torch.inference_mode()
def reconstructions(codec: AlphaGAN, images: PublicImages) -> np.ndarray:
    """The first image of each of the first eight held-out patients of the first source, above its reconstruction."""
    chosen = images.part((images.tenths == HELD_OUT) & (images.sources == images.sources[0]))
    first = np.sort(np.unique(chosen.patients, return_index=True)[1])[:8]
    pixels = to_tensor(shrunk(chosen.pixels[first], codec.config.resolution)).to(codec.device)
    return image_grid(to_uint8(torch.cat([pixels, codec(pixels).sample])), columns=8)


def main() -> None:
    """Measures and writes the scores, and puts them into the codec's card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", type=Path, required=True, help="folder of the codec")
    parser.add_argument(
        "--pack", type=Path, required=True, help="public images, as `train_builtin.py pack` wrote them"
    )
    parser.add_argument("--output", type=Path, default=Path("scores.json"), help="JSON file of the scores")
    parser.add_argument("--draws", type=int, default=1000, help="images drawn for each group of patients")
    parser.add_argument(
        "--patients", type=int, default=100_000, help="at most so many training patients of each group"
    )
    parser.add_argument("--bootstraps", type=int, default=500, help="replicates; a tenth for Frechet distances")
    parser.add_argument("--picture", type=Path, help="PNG of eight held-out images above what the codec makes of them")
    args = parser.parse_args()
    torch.set_num_threads(num_cores())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    codec, images = AlphaGAN.from_pretrained(args.codec).to(device).eval(), PublicImages.load(args.pack)
    if args.picture:
        args.picture.write_bytes(encode_png(reconstructions(codec, images)))
        return
    found = study_codec(codec, images, args.patients, args.draws, args.bootstraps)
    write_json(args.output, found)
    if (args.codec / PROVENANCE).exists():
        write_evidence(args.codec, found)


if __name__ == "__main__":
    main()
