"""Options of a codec and of its training; importing them needs no torch."""

from dataclasses import dataclass

from hf_hybrid.core.errors import check_above, check_at_least, check_share
from hf_hybrid.training.arguments import TrainingArguments


@dataclass
class CodecArguments(TrainingArguments):
    """Options of a codec training, beside those of every training.

    Args:
        reconstruction_weight: weight of the L1 reconstruction loss (lambda of the paper).
        adversarial_weight: weight of the image discriminator in the codec's loss.
        code_weight: weight of the code discriminator in the codec's loss.
        discriminator_learning_rate: of both discriminators.
        linear_learning_rate_scale: learning rate of the linear path relative to `learning_rate`.
        code_noise_weight: weight of the distance (Kullback-Leibler, nats) of codes with noise from the prior, for a
            codec with `code_noise`: the noise grows where the images do not suffer much from it.
        sample_adversary: whether the image discriminator tells samples from reconstructions instead of all decoded
            images from real ones: samples then have to be as plausible, not as sharp.
        warp: largest random turns, shifts, scalings and gammas relative to those of `augmented`; 0 for none.
        augmentation: largest relative change of contrast and brightness, drawn a record; 0 for none.
        validation_share: share of the images held out to score and choose the weights (at most 128 images).
        validation_steps: steps between two scores.
    """

    learning_rate: float = 4e-4
    max_train_steps: int = 20000
    reconstruction_weight: float = 20.0
    adversarial_weight: float = 1.0
    code_weight: float = 1.0
    discriminator_learning_rate: float = 2e-4
    linear_learning_rate_scale: float = 0.01
    code_noise_weight: float = 0.0
    sample_adversary: bool = False
    warp: float = 0.0
    augmentation: float = 0.05
    validation_share: float = 0.1
    validation_steps: int = 500

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        check_at_least(self, 1, "validation_steps")
        check_above(self, 0, "validation_share", "discriminator_learning_rate")
        check_share(self, "validation_share")
        check_at_least(self, 0, "reconstruction_weight", "adversarial_weight", "code_weight", "augmentation")
        check_at_least(self, 0, "code_noise_weight", "warp")


@dataclass(kw_only=True)
class NetworkOptions:
    """What an alphaGAN is: arguments of `AlphaGAN`.

    Args:
        resolution: height and width in pixels, a power of two from 32 to 512.
        in_channels: 1 (grey) or 3 (RGB).
        latent_dim: length of a latent.
        base_channels: channels at half the resolution, doubled at each halving.
        max_channels: where the doubling stops.
        layers_per_block: convolutions at each resolution.
        norm: `group` or `none`.
        linear_path: whether a PCA-initialised linear path runs beside the convolutions.
        linear_resolution: resolution at which the linear path works, or the components.
        resize_mode: how images that are not square become so, `crop` (their middle) or `pad` (all, on black).
        num_components: principal components that encoder and generator work on instead of convolutions, a hundred
            times faster; 0 for convolutions.
        code_noise: sd at the start of the normal noise that is drawn on codes, learned by `code_noise_weight`; 0 for
            none.
        private_images: whether the images are not public; the codec is pushed only with a report on attacks then.
    """

    resolution: int = 64
    in_channels: int = 1
    latent_dim: int = 64
    base_channels: int = 32
    max_channels: int = 256
    layers_per_block: int = 1
    norm: str = "group"
    linear_path: bool = True
    linear_resolution: int = 64
    resize_mode: str = "crop"
    num_components: int = 0
    code_noise: float = 0.0
    private_images: bool = False


@dataclass(kw_only=True)
class ImageFacts:
    """What provenance and cards say of the images that trained a codec.

    Args:
        image_source: what the images are, for the cards.
        image_content: what they show. Image scores of a release are measured in features of the radiograph network if
            this is "chest radiographs".
    """

    image_source: str | None = None
    image_content: str | None = None


@dataclass(kw_only=True)
class CodecOptions(NetworkOptions, CodecArguments, ImageFacts):
    """What the codec is and how it is trained."""
