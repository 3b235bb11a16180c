"""The noise of a denoising diffusion model: how much there is at each step, and the solver that removes it."""

import torch


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

    def solver(self, num_inference_steps: int):
        """The DPM-Solver++ of `diffusers`, set to so many steps, for a network that predicts rows without noise."""
        from diffusers import DPMSolverMultistepScheduler

        solver = DPMSolverMultistepScheduler.from_config(self._scheduler.config, prediction_type="sample")
        solver.set_timesteps(num_inference_steps)
        return solver
