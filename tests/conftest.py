"""Shared fixtures: a loopback Hub for the real clients, and a guard against every other address.

The Hub clients copy their settings at import, and torch its number of threads. So the Hub starts, and the environment
is set, while this file is imported, which is before any test module. Nothing here imports a client before a test asks
for `hub`. Every pytest-xdist worker has its own Hub and its own caches.
"""

import ipaddress
import itertools
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hub_fixture import LoopbackHub, hub_environment

_READ_AT_IMPORT = {"accelerate", "datasets", "diffusers", "evaluate", "huggingface_hub", "torch", "transformers"}
_too_early = sorted(_READ_AT_IMPORT & set(sys.modules))
assert not _too_early, f"imported before the test environment was set: {_too_early}"

_HUB = LoopbackHub().start()
_HOME = tempfile.TemporaryDirectory(prefix="hf_hybrid-tests-")
for _name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
    del os.environ[_name]
os.environ.update(hub_environment(_HUB.url, _HOME.name), OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

_repo_numbers = itertools.count()


def pytest_unconfigure() -> None:
    """Remove the caches."""
    _HOME.cleanup()


def _is_loopback(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session")
def refused_hosts() -> list[str]:
    """Hosts other than loopback that were asked for since the start of the running test."""
    return []


@pytest.fixture(scope="session", autouse=True)
def loopback_only(refused_hosts: list[str]) -> Iterator[None]:
    """Refuse every address but loopback, for the whole session (for sockets opened by Python)."""

    def check(host: Any) -> None:
        if not _is_loopback(host):
            refused_hosts.append(str(host))
            raise AssertionError(f"a test tried to reach {host!r}; tests may only use loopback addresses")

    def guarded(function: Any) -> Any:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family != socket.AF_UNIX:
                check(address[0])
            return function(self, address)

        return connect

    getaddrinfo = socket.getaddrinfo

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        check(host)
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        yield


@pytest.fixture(autouse=True)
def no_refused_host(refused_hosts: list[str]) -> Iterator[None]:
    """Fail a test that tried a foreign address, even if a library swallowed the error."""
    refused_hosts.clear()
    yield
    assert not refused_hosts, f"the test tried to reach {refused_hosts}"


@pytest.fixture
def sleeps() -> list[float]:
    """Seconds that the Hub clients would have slept between retries, in order; see `hub`."""
    return []


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, sleeps: list[float]) -> Iterator[LoopbackHub]:
    """The empty stand-in; the real clients reach it without any argument, as its owner.

    Retries do not wait, their sleeps go to `sleeps`. A request that the stand-in does not know fails the test.
    """
    import datasets
    import huggingface_hub.file_download
    import huggingface_hub.utils._http

    clock = SimpleNamespace(**{**vars(time), "sleep": sleeps.append})
    monkeypatch.setattr(huggingface_hub.utils._http, "time", clock)
    monkeypatch.setattr(huggingface_hub.file_download, "time", clock)
    # The dataset viewer would be looked for at `datasets-server.` + the host of the endpoint.
    monkeypatch.setattr(datasets.config, "USE_PARQUET_EXPORT", False)
    # Its instances remember listings, and that a repository is missing.
    huggingface_hub.HfFileSystem.clear_instance_cache()
    _HUB.clear()
    yield _HUB
    assert not _HUB.problems, "\n".join(_HUB.problems)


@pytest.fixture
def repo_id() -> str:
    """A repository name of the token's owner that no other test uses: caches are kept between tests."""
    return f"owner/repo-{next(_repo_numbers)}"


@pytest.fixture
def small_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence with few trees and steps, where a test is about something else than their power."""
    shrink_evidence(monkeypatch)


@pytest.fixture(scope="module")
def small_evidence_of_a_module() -> Iterator[None]:
    """The same for a whole module, and for what its tests share."""
    with pytest.MonkeyPatch.context() as patch:
        shrink_evidence(patch)
        yield


def shrink_evidence(patch: pytest.MonkeyPatch) -> None:
    from hf_hybrid.evaluation import held_out
    from hf_hybrid.evaluation.attacks import classifier
    from hf_hybrid.evaluation.attacks import membership as attacks
    from hf_hybrid.metrics import fidelity as scores
    from hf_hybrid.models import image_encoder, pair_encoder

    patch.setattr(image_encoder, "NUM_STEPS", 5)
    patch.setattr(pair_encoder, "NUM_STEPS", 20)
    patch.setattr(held_out, "NUM_TREES", 8)
    patch.setattr(scores, "SHARE_DRAWS", 5)
    patch.setattr(classifier, "NUM_TREES", 8)
    patch.setattr(attacks, "RANDOM_LABELS", 20)
