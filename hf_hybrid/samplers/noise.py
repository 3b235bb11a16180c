"""The noise of a denoising diffusion model: how much there is at each step, and rows drawn by removing it."""

import torch

from hf_hybrid.samplers.blocks import gumbel
from hf_hybrid.samplers.denoiser import Denoiser, Patterns


class NoiseSchedule:
    """The cosine schedule of Nichol and Dhariwal 2021 (arXiv 2102.09672).

    Args:
        num_steps: steps from rows without noise to noise alone.
    """

    def __init__(self, num_steps: int) -> None:
        from diffusers import DDPMScheduler

        self._scheduler = DDPMScheduler(num_train_timesteps=num_steps, beta_schedule="squaredcos_cap_v2")

    def levels(self, step: torch.Tensor) -> torch.Tensor:
        """Signal and noise at each step, `(2, ...)`."""
        kept = self._scheduler.alphas_cumprod[step]
        return torch.stack([kept.sqrt(), (1 - kept).sqrt()])

    def denoise(
        self,
        network: Denoiser,
        patterns: Patterns,
        known: torch.Tensor,
        num_inference_steps: int,
        rng: torch.Generator,
        forbidden: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Draws rows by DPM-Solver++ from noise.

        Args:
            network: predicts rows without noise.
            patterns: a single one: which columns are given and drawn.
            known: the transform's matrix, `(n, width)`, 0 where nothing is known.
            num_inference_steps: of the solver.
            rng: noise comes from here, on the CPU.
            forbidden: choices that must not be drawn, `(choices,)` bool.

        Returns:
            The transform's matrix, `(n, width)`, on the CPU; only its drawn columns have a meaning.
        """
        from diffusers import DPMSolverMultistepScheduler

        device = network.mean.device
        solver = DPMSolverMultistepScheduler.from_config(self._scheduler.config, prediction_type="sample")
        solver.set_timesteps(num_inference_steps)
        noisy, clean = torch.randn(known.shape, generator=rng).to(device)[None], known.to(device)[None]
        for step in solver.timesteps:
            signal, noise = (one.expand(1, len(known), 1) for one in self.levels(step).to(device))
            scalars, log_shares = network(patterns, clean, noisy, signal, noise)
            if forbidden is not None:
                log_shares = network.blocks.log_softmax(log_shares.masked_fill(forbidden.to(device), -torch.inf))
            noisy = solver.step(torch.cat([scalars, log_shares.exp()], dim=2), step, noisy).prev_sample
        return _choose(network, noisy[0], log_shares[0], rng)


def _choose(network: Denoiser, noisy: torch.Tensor, log_shares: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Scalars, and a choice of each block drawn by its last posterior: the likeliest would make rare ones rarer."""
    uniform = torch.rand(log_shares.shape, generator=rng).to(noisy.device)
    chosen = network.blocks.choose(log_shares + gumbel(uniform))
    return torch.cat([noisy[:, : network.num_scalars], chosen], dim=1).cpu()
