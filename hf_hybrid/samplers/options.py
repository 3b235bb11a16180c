"""Options of the samplers; importing them needs neither torch nor ctgan.

A sampler's class inherits its options, so that they are written down once.
"""

from dataclasses import dataclass

from hf_hybrid.core.errors import InputError, check_above, check_at_least, check_share

LEVELS = 1000  # of noise, in the denoising model
PATTERNS_A_STEP = 8  # combinations of given and drawn columns that one of its steps learns from


@dataclass
class TrainedOptions:
    """Options of a network that learns in steps.

    Args:
        max_train_steps: updates at most.
        batch_size: rows per step, drawn with replacement.
        learning_rate: of the optimiser.
        validation_share: share of validation patients, who choose the weights; 0 keeps the last ones.
        validation_steps: updates between two scores.
        patience: number of scores without improvement after which training ends.
        seed: seed of weights, batches, noise and validation patients.
    """

    max_train_steps: int = 1000
    batch_size: int = 500
    learning_rate: float = 2e-4
    validation_share: float = 0.15
    validation_steps: int = 100
    patience: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for options out of range."""
        check_above(self, 0, "max_train_steps", "batch_size", "learning_rate", "validation_steps", "patience")
        if not 0 <= self.validation_share < 0.9:
            raise InputError(f"expected `validation_share` from 0 to below 0.9, found {self.validation_share}")


@dataclass
class CopulaOptions:
    """Options of the Gaussian copula.

    Args:
        shrinkage: share by which correlations are drawn towards 0; None estimates it (Schäfer and Strimmer 2005,
            doi:10.2202/1544-6115.1175, target D).
    """

    shrinkage: float | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a share out of range."""
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise InputError(f"expected `shrinkage` from 0 to 1, found {self.shrinkage}")


@dataclass
class SmoteOptions:
    """Options of the interpolating control.

    Args:
        num_neighbours: number of neighbours to interpolate with.
    """

    num_neighbours: int = 5

    def __post_init__(self) -> None:
        """Raises InputError without a neighbour."""
        if self.num_neighbours < 1:
            raise InputError(f"expected `num_neighbours` of at least 1, found {self.num_neighbours}")


@dataclass
class CTGANOptions(TrainedOptions):
    """Options of the conditional table GAN.

    Args:
        max_train_steps: generator updates at most (ctgan's default of 300 epochs makes about 600 at 1,000 rows).
        batch_size: rows per step, drawn with replacement; a multiple of `pac`.
        learning_rate: of both networks.
        validation_share: share of validation patients, who choose the generator; 0 keeps the last one.
        validation_steps: updates between two scores.
        patience: number of scores without improvement after which training ends.
        seed: seed of weights, batches, noise and validation patients.
        embedding_dim: length of the noise.
        generator_dim: widths of the generator's residual layers.
        discriminator_dim: widths of the critic's layers.
        pac: rows that the critic judges together.
        gradient_penalty: weight of the critic's gradient penalty.
        temperature: of the Gumbel softmax over one-hot blocks.
    """

    embedding_dim: int = 128
    generator_dim: tuple[int, ...] = (256, 256)
    discriminator_dim: tuple[int, ...] = (256, 256)
    pac: int = 10
    gradient_penalty: float = 10.0
    temperature: float = 0.2

    def __post_init__(self) -> None:
        """Raises InputError for options out of range, or that do not fit together."""
        super().__post_init__()
        if self.pac < 1 or self.batch_size < 2 or self.batch_size % self.pac:
            raise InputError(
                f"expected `batch_size` above 1 and a multiple of `pac`, found {self.batch_size} and {self.pac}"
            )
        check_above(self, 0, "embedding_dim", "temperature")
        for name in ("generator_dim", "discriminator_dim"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise InputError(f"expected `{name}` as widths of at least one layer, found {getattr(self, name)}")


@dataclass
class DiffusionOptions(TrainedOptions):
    """Options of the denoising model.

    Args:
        max_train_steps: updates at most.
        batch_size: rows per step, drawn with replacement; a multiple of 8.
        learning_rate: of AdamW.
        validation_share: share of validation patients, who choose the weights; 0 keeps the last ones.
        validation_steps: updates between two scores.
        patience: number of scores without improvement after which training ends.
        seed: seed of weights, batches, noise and validation patients.
        hidden_dim: width of the network.
        num_layers: residual layers.
        dropout: share of hidden units left out in training.
        given_noise: standard deviation of the noise on given cells in training, relative to that of each position;
            without it a network that is given a whole row or all latents learns to recognise the record.
        weight_decay: of AdamW.
        ema_decay: decay of the moving average of the weights, 0 for none.
        num_inference_steps: denoising steps of a draw.
        table_first: draw the row, then the latents given the row; else all at once.
    """

    max_train_steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 5e-4
    hidden_dim: int = 128
    num_layers: int = 2
    dropout: float = 0.5
    given_noise: float = 0.3
    weight_decay: float = 0.01
    ema_decay: float = 0.995
    num_inference_steps: int = 20
    table_first: bool = True

    def __post_init__(self) -> None:
        """Raises InputError for options out of range."""
        super().__post_init__()
        if self.batch_size % PATTERNS_A_STEP:
            raise InputError(f"expected `batch_size` as a multiple of {PATTERNS_A_STEP}, found {self.batch_size}")
        if not 2 <= self.num_inference_steps <= LEVELS // 2:
            raise InputError(
                f"expected `num_inference_steps` from 2 to {LEVELS // 2}, found {self.num_inference_steps}"
            )
        check_above(self, 0, "hidden_dim", "num_layers")
        check_share(self, "dropout", "ema_decay")
        check_at_least(self, 0, "given_noise", "weight_decay")
