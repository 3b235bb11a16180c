"""The script that trains the shipped networks: every task at a tiny size, and the codec that comes out."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import train_builtin  # noqa: E402

from hf_hybrid.models.alphagan import AlphaGAN  # noqa: E402
from hf_hybrid.models.public_images import PublicImages  # noqa: E402


@pytest.fixture
def tiny(monkeypatch):
    """The same trainings with smaller networks."""
    core = {"resolution": 32, "latent_dim": 4, "base_channels": 4, "max_channels": 8, "code_noise": 0.3}
    monkeypatch.setattr(train_builtin, "CORE", core)
    monkeypatch.setattr(train_builtin, "WIDTHS", {64: (8, 16), 128: (8, 16)})
    monkeypatch.setattr(train_builtin, "TIMES", {64: (1.0, 0.5), 128: (1.0,)})
    monkeypatch.setattr(train_builtin, "BATCH", {64: 4, 128: 2})


def folder(path, name, table, side=128):
    train = path / name / "train"
    train.mkdir(parents=True)
    (train / "metadata.csv").write_text(table)
    rng = np.random.default_rng(0)
    for line in table.splitlines()[1:]:
        pixels = np.kron(rng.integers(0, 256, (8, 8)), np.ones((side // 8, side // 8))).astype(np.uint8)
        Image.fromarray(pixels).save(train / line.split(",")[0])
    return str(path / name)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["train_builtin.py", *map(str, arguments)])
    train_builtin.main()


def test_every_task_runs_and_the_codec_draws(tmp_path, monkeypatch, tiny):
    adults = "file_name,patient_id,age,sex,view,follow_up,findings\n" + "".join(
        f"a{place}.png,n{place},{30 + place},{'MF'[place % 2]},PA,0,{'Mass|Nodule' if place % 3 else 'No Finding'}\n"
        for place in range(24)
    )
    children = "file_name,patient_id,finding\n" + "".join(
        f"c{place}.png,k{place},{('normal', 'virus', 'bacteria')[place % 3]}\n" for place in range(24)
    )
    sources = ",".join([folder(tmp_path, "public_cxr", adults), folder(tmp_path, "kids_cxr", children)])
    pack, built = tmp_path / "public.npz", tmp_path / "built"
    run(monkeypatch, "pack", "--pack", pack, "--sources", sources)
    images = PublicImages.load(pack)
    assert images.labels["Mass"].tolist() == [float(place % 3 > 0) for place in range(24)] + [-1.0] * 24
    assert images.labels["kind"].tolist() == [-1.0] * 24 + [float((0, 2, 1)[place % 3]) for place in range(24)]

    trainings = ["core-0.01", "core-0.1", "choose", "refiner-64-flow", "refiner-64-distillation", "refiner-128-flow"]
    options = ["--pack", pack, "--output_dir", built, "--steps", 1, "--every", 1, "--batch_size", 2]
    run(monkeypatch, "features-0", "features-1", *trainings, "refiner-128-distillation", "collect", *options)

    codec = AlphaGAN.from_pretrained(built / "codec", torch_dtype=torch.float32).eval()
    assert codec.config.resolution == 128 and codec.config.core_resolution == 32
    assert codec.decode(torch.randn(2, 4)).sample.shape == (2, 1, 128, 128)
    tensors = {name for name in codec.state_dict() if name.startswith("refiners.0.")}
    saved = train_builtin._load(built / "refiner-64" / "distillation.safetensors")
    assert tensors == {f"refiners.0.{name}" for name in saved}
    assert all(torch.equal(codec.state_dict()[f"refiners.0.{name}"], tensor) for name, tensor in saved.items())
    cores = json.loads((built / "cores.json").read_text())
    assert cores["chosen"] in ("core-0.01", "core-0.1") and cores["pca"]["likeness"] > 0
    assert (built / "features-1" / "scores.json").exists() and (built / "trainings.json").exists()
