"""Features of torchxrayvision, by a stand-in of the package: it and its weights are never downloaded here."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.models import xrv_features
from hf_hybrid.models.image_features import extractor_name, image_features

NAME = "xrv:densenet121-res224-all"
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)


class StandIn(torch.nn.Module):
    """Takes what torchxrayvision's networks take; its features are the mean, the ends and the size of an image."""

    def features2(self, values):
        sizes = torch.full((len(values), 1), values.shape[-1])
        return torch.cat([values.mean((2, 3)), values.amin((2, 3)), values.amax((2, 3)), sizes], dim=1)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The names of torchxrayvision 1.5 that are used, and the folder where its weights would be."""
    stand_in = ModuleType("torchxrayvision")
    urls = {
        "densenet121-res224-all": {"weights_url": "https://example.org/v1/all.pt"},
        "resnet50-res512-all": {"weights_url": "https://example.org/v1/resnet.pt"},
        "all": {"weights_url": "https://example.org/v1/all.pt"},
    }
    stand_in.models = SimpleNamespace(model_urls=urls, get_model=lambda weights: StandIn())
    stand_in.utils = SimpleNamespace(get_cache_dir=lambda: str(tmp_path))
    monkeypatch.setitem(sys.modules, "torchxrayvision", stand_in)
    xrv_features._load.cache_clear()
    yield tmp_path
    xrv_features._load.cache_clear()


def test_images_enter_in_the_range_and_size_of_the_networks(package):
    (package / "all.pt").touch()
    whole, parts = image_features([IMAGES], NAME), image_features([IMAGES[:1], IMAGES[1:]], NAME)

    assert whole.dtype == np.float64 and whole.shape == (3, 4)
    np.testing.assert_allclose(whole, parts, rtol=1e-5)
    assert (whole[:, 3] == 224).all()
    np.testing.assert_allclose(whole[:, 0], (IMAGES.mean(axis=(1, 2)) / 127.5 - 1) * 1024, atol=15)
    ends = image_features([np.stack([np.zeros((64, 64), np.uint8), np.full((64, 64), 255, np.uint8)])], NAME)
    np.testing.assert_allclose(ends[:, 0], [-1024, 1024], rtol=1e-5)
    assert extractor_name(NAME) == NAME


def test_weights_that_are_not_there_are_not_downloaded(package):
    with pytest.raises(InputError, match="expected the weights of densenet121-res224-all in .*, found none: nothing"):
        image_features([IMAGES], NAME)


def test_another_network_is_refused(package):
    with pytest.raises(InputError, match="expected a network among xrv:densenet121-res224-all, found 'resnet50"):
        image_features([IMAGES], "xrv:resnet50-res512-all")


@pytest.mark.parametrize("error", [ModuleNotFoundError, RuntimeError("operator torchvision::nms does not exist")])
def test_a_package_that_does_not_load_is_refused_in_one_line(error, monkeypatch):
    xrv_features._load.cache_clear()
    monkeypatch.delitem(sys.modules, "torchxrayvision", raising=False)

    class Broken:
        """An import that fails, as that of a torchvision made for another torch does."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "torchxrayvision":
                raise error

    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    found = "it not installed" if isinstance(error, type) else "operator torchvision::nms does not exist"
    message = f"expected `torchxrayvision` for features of its networks, found {found}: pip install 'hf_hybrid.cxr.'"
    with pytest.raises(InputError, match=message):
        image_features([IMAGES], NAME)
