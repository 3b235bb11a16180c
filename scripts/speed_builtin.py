"""Speed of the networks of `train_builtin.py`: training steps of the refiners, and drawing by the collected codec.

python scripts/speed_builtin.py --output_dir built
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from train_builtin import BATCH, TIMES, WIDTHS

from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.refiner import Refiner
from hf_hybrid.models.refiner_losses import flow_loss


def main() -> None:
    """Images a second of the bare flow loss (forward, backward, update on data in place), and of drawing; one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=Path("built"), help="folder of train_builtin.py")
    parser.add_argument("--batch_size", type=int)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = {"device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu"}
    settings = [("float32", False), ("bf16", False), ("bf16", True)] if device.type == "cuda" else [("float32", False)]
    for side in WIDTHS:
        for precision, compiled in settings[: 3 if side == 128 else 2]:
            name = f"{side} {precision}{' compiled' if compiled else ''}"
            found[name] = round(
                _bare_speed(side, args.batch_size or BATCH[side], device, precision == "bf16", compiled)
            )
            (args.output_dir / "speed.json").write_text(json.dumps(found, indent=2))
    codec = AlphaGAN.from_pretrained(args.output_dir / "codec", torch_dtype=torch.float32).to(device).eval()
    latents = torch.randn(256 if device.type == "cuda" else 16, 64, device=device)
    with torch.inference_mode():
        found["drawn a second"] = round(_repeated(lambda: codec.decode(latents), device) * len(latents), 1)
    (args.output_dir / "speed.json").write_text(json.dumps(found, indent=2))


def _bare_speed(side: int, batch: int, device: torch.device, half: bool, compiled: bool) -> float:
    refiner = Refiner(1, WIDTHS[side], TIMES[side]).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(refiner.parameters(), 1e-3, fused=device.type == "cuda")
    coarse, detail, noise = (torch.randn(batch, 1, side, side, device=device) for _ in range(3))
    normal, loss_of = torch.randn(batch, device=device), torch.compile(flow_loss) if compiled else flow_loss

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = loss_of(refiner, detail, coarse, noise, normal)
        loss.backward()
        optimizer.step()

    return _repeated(step, device) * batch


def _repeated(step: Callable[[], object], device: torch.device, seconds: float = 2.0) -> float:
    """How often a second a step can be made: the median of three, after two to warm up."""
    times, wait = [], torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(2):
        step()
    for _ in range(3):
        wait()
        start, count = time.monotonic(), 0
        while time.monotonic() - start < seconds / 3 or not count:
            step()
            count += 1
        wait()
        times.append((time.monotonic() - start) / count)
    return 1 / float(np.median(times))


if __name__ == "__main__":
    main()
