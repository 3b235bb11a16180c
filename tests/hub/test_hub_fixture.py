"""The stand-in does to the real clients what the Hub does, and the clients do what our code relies on."""

import socket
from pathlib import Path

import httpx2
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, load_dataset
from datasets.exceptions import DatasetNotFoundError
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from hub_fixture import OTHER_TOKEN, OWNER_TOKEN, READER_TOKEN, LoopbackHub
from huggingface_hub import DatasetCard, HfApi, HfFileSystem, ModelCard, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalTokenNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

NUM_SHARDS = 6
CARD = "---\nlicense: mit\npretty_name: Small\n---\n# Small\n"


@pytest.fixture
def dataset() -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    features = Features({"image": Image(), "outcome": ClassLabel(names=["survived", "deceased"])})
    return Dataset.from_dict({"image": list(pixels), "outcome": [0, 1] * 6}, features=features)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    (folder / "data" / "train.parquet").write_bytes(bytes(range(256)) * 16)
    return folder


@pytest.fixture
def api(hub: LoopbackHub) -> HfApi:
    return HfApi()


def assert_same_records(found, expected: Dataset) -> None:
    assert found.features == expected.features
    for record, wanted in zip(found, expected, strict=True):
        assert record["outcome"] == wanted["outcome"]
        np.testing.assert_array_equal(np.asarray(record["image"]), np.asarray(wanted["image"]))


def puts(hub: LoopbackHub) -> int:
    return len(hub.requests("PUT", "/lfs/"))


class TestDataset:
    def test_round_trip_keeps_pixels_and_features(self, hub, repo_id, dataset):
        dataset.push_to_hub(repo_id, num_shards=NUM_SHARDS)
        assert_same_records(load_dataset(repo_id, split="train"), dataset)
        assert puts(hub) == NUM_SHARDS
        assert all(entry.account is None for entry in hub.requests("PUT"))

    def test_streaming_reads_ranges(self, hub, repo_id, dataset):
        dataset.push_to_hub(repo_id, num_shards=2)
        hub.log.clear()
        assert_same_records(load_dataset(repo_id, split="train", streaming=True), dataset)
        reads = hub.requests("GET", r"\.parquet$")
        assert reads and {entry.status for entry in reads} == {206}

    def test_private_is_for_its_owner_only(self, hub, repo_id, dataset):
        dataset.push_to_hub(repo_id, private=True)
        for token in (False, OTHER_TOKEN):
            with pytest.raises(DatasetNotFoundError):
                load_dataset(repo_id, token=token)
        for token in (OWNER_TOKEN, READER_TOKEN):
            assert_same_records(load_dataset(repo_id, split="train", token=token), dataset)
        for token in (READER_TOKEN, OTHER_TOKEN):
            with pytest.raises(HfHubHTTPError) as caught:
                dataset.push_to_hub(repo_id, token=token)
            assert caught.value.response.status_code == 403


class TestInterruptedPush:
    def test_second_push_sends_only_the_missing_shards(self, hub, repo_id, dataset, sleeps):
        fault = hub.fail("PUT", "/lfs/", drop="half_read", skip=2, times=None)
        with pytest.raises(RuntimeError, match="data/train-00002-of-00006.parquet"):
            dataset.push_to_hub(repo_id, num_shards=NUM_SHARDS)
        assert sleeps == [1, 2, 4, 8, 8] and fault.hits == 6
        repo = hub.repo(repo_id, "dataset")
        assert len(repo.history()) == 1

        hub.faults.clear()
        hub.log.clear()
        dataset.push_to_hub(repo_id, num_shards=NUM_SHARDS)
        assert puts(hub) == NUM_SHARDS - 2 and len(repo.history()) == 2
        assert_same_records(load_dataset(repo_id, split="train"), dataset)

    @pytest.mark.parametrize("reset", [True, False], ids=["reset", "clean"])
    @pytest.mark.parametrize("drop", ["unread", "half_read", "unanswered", "half_answered"])
    def test_one_lost_connection_is_survived(self, hub, repo_id, dataset, drop, reset, sleeps):
        # Only the batch answer has a body to cut.
        method, path = ("POST", "objects/batch") if drop == "half_answered" else ("PUT", "/lfs/")
        fault = hub.fail(method, path, drop=drop, reset=reset)
        dataset.push_to_hub(repo_id)
        assert fault.hits == 1 and sleeps == [1]
        assert_same_records(load_dataset(repo_id, split="train"), dataset)

    def test_lost_commit_answer_makes_no_second_commit(self, hub, repo_id, dataset):
        hub.fail("POST", "/commit/", drop="unanswered")
        with pytest.raises(httpx2.TransportError):
            dataset.push_to_hub(repo_id)
        dataset.push_to_hub(repo_id)
        assert len(hub.repo(repo_id, "dataset").history()) == 2 and puts(hub) == 1

    def test_retry_after_is_obeyed(self, hub, repo_id, dataset, sleeps):
        hub.fail("PUT", "/lfs/", status=429, headers={"Retry-After": "7"})
        dataset.push_to_hub(repo_id)
        assert sleeps == [8]

    def test_download_resumes_after_a_cut(self, hub, repo_id, sleeps):
        hub.create_repo(repo_id, files={"weights.bin": bytes(1000)})
        hub.fail("GET", "weights.bin", drop="half_answered", reset=False)
        assert Path(hf_hub_download(repo_id, "weights.bin")).read_bytes() == bytes(1000)
        assert sleeps == [1]


class TestRepository:
    def test_folder_round_trip(self, api, hub, repo_id, folder, tmp_path):
        api.create_repo(repo_id, repo_type="dataset", private=True)
        for _ in range(2):  # the second time nothing has changed
            commit = api.upload_folder(repo_id=repo_id, folder_path=folder, repo_type="dataset")
        repo = hub.repo(repo_id, "dataset")
        assert commit.oid == repo.head.sha and len(repo.history()) == 2 and puts(hub) == 1
        copy = Path(snapshot_download(repo_id, repo_type="dataset", local_dir=tmp_path / "copy"))
        for name in ("README.md", "data/train.parquet"):
            assert (copy / name).read_bytes() == (folder / name).read_bytes() == repo.read(name)

    def test_stale_parent_is_refused(self, api, hub, repo_id):
        repo = hub.create_repo(repo_id)
        parent = repo.head.sha
        hub.fail("POST", "/commit/", before=lambda: repo.commit({"theirs.txt": b"1"}))
        upload = {"repo_id": repo_id, "path_in_repo": "ours.txt", "path_or_fileobj": b"2"}
        with pytest.raises(HfHubHTTPError) as caught:
            api.upload_file(**upload, parent_commit=parent)
        assert caught.value.response.status_code == 412
        api.upload_file(**upload, parent_commit=repo.head.sha)
        assert {"theirs.txt", "ours.txt"} < set(repo.head.files)

    @pytest.mark.parametrize("path", ["README.md", "data/train.parquet"])
    def test_damage_is_found_on_either_side(self, api, hub, repo_id, folder, tmp_path, path):
        repo = hub.create_repo(repo_id, "dataset")
        upload = {"repo_id": repo_id, "folder_path": folder, "repo_type": "dataset"}

        def damaged(local_dir) -> list[str]:
            found = api.verify_repo_checksums(repo_id, repo_type="dataset", local_dir=local_dir)
            return [mismatch["path"] for mismatch in found.mismatches]

        hub.fail("POST", "/commit/", after=lambda: repo.corrupt(path, relabel=True))
        api.upload_folder(**upload)
        assert damaged(folder) == [path]
        api.upload_folder(**upload)
        assert damaged(folder) == []
        repo.corrupt(path)
        copy = snapshot_download(repo_id, repo_type="dataset", local_dir=tmp_path / "copy")
        assert damaged(folder) == [] and damaged(copy) == [path]

    def test_visibility_and_gate(self, api, hub, repo_id):
        api.create_repo(repo_id)
        api.create_repo(repo_id, private=True, exist_ok=True)
        assert api.repo_info(repo_id, token=False).private is False  # `exist_ok` changes nothing
        api.update_repo_settings(repo_id, private=True)
        with pytest.raises(RepositoryNotFoundError):
            api.repo_info(repo_id, token=False)
        api.update_repo_settings(repo_id, private=False, gated="manual")
        assert api.repo_info(repo_id, token=OTHER_TOKEN).gated == "manual"
        with pytest.raises(GatedRepoError):
            hf_hub_download(repo_id, ".gitattributes", token=OTHER_TOKEN)
        hub.repo(repo_id).granted.add("other")
        api.auth_check(repo_id, token=OTHER_TOKEN)

    def test_revisions(self, api, hub, repo_id):
        repo = hub.create_repo(repo_id, files={"a.txt": b"1"})
        api.create_branch(repo_id, branch="draft")
        api.create_tag(repo_id, tag="v1")
        upload = {"repo_id": repo_id, "path_in_repo": "a.txt"}
        api.upload_file(**upload, path_or_fileobj=b"2", revision="draft")
        pull_request = api.upload_file(**upload, path_or_fileobj=b"3", create_pr=True)
        revisions = ["main", "v1", repo.head.sha[:7], "draft", pull_request.pr_revision]
        contents = [Path(hf_hub_download(repo_id, "a.txt", revision=r)).read_text() for r in revisions]
        assert contents == ["1", "1", "1", "2", "3"]
        refs = api.list_repo_refs(repo_id, include_pull_requests=True)
        assert [len(refs.branches), len(refs.tags), len(refs.pull_requests)] == [2, 1, 1]
        api.delete_branch(repo_id, branch="draft")
        api.delete_tag(repo_id, tag="v1")
        for revision in ("draft", "v1"):
            with pytest.raises(RevisionNotFoundError):
                hf_hub_download(repo_id, "a.txt", revision=revision)

    def test_listings(self, api, hub, repo_id):
        files = {"README.md": CARD.encode(), "data/x/1.bin": b"1", "data/2.txt": b"22"}
        hub.create_repo(repo_id, files=files)
        entries = {entry.path: entry for entry in api.list_repo_tree(repo_id, recursive=True)}
        assert set(entries) == {*files, ".gitattributes", "data", "data/x"}
        assert entries["data/x/1.bin"].lfs.size == 1 and entries["data/2.txt"].lfs is None
        assert [entry.path for entry in api.list_repo_tree(repo_id, "data")] == ["data/2.txt", "data/x"]
        assert [entry.path for entry in api.get_paths_info(repo_id, ["data", "none"])] == ["data"]
        with pytest.raises(RemoteEntryNotFoundError):
            list(api.list_repo_tree(repo_id, "none"))
        info = api.repo_info(repo_id, files_metadata=True)
        assert info.card_data.license == "mit"
        assert {file.rfilename: file.size for file in info.siblings}.items() > {"data/2.txt": 2}.items()
        assert [commit.title for commit in api.list_repo_commits(repo_id)] == ["a commit", "initial commit"]
        assert HfFileSystem().glob(f"{repo_id}/data/*.txt") == [f"{repo_id}/data/2.txt"]

    def test_delete(self, api, hub, repo_id):
        hub.create_repo(repo_id, files={"data/1.txt": b"1", "2.txt": b"2"})
        api.delete_file("2.txt", repo_id)
        api.delete_folder("data", repo_id)
        assert set(hub.repo(repo_id).head.files) == {".gitattributes"}
        with pytest.raises(RemoteEntryNotFoundError):
            api.delete_file("2.txt", repo_id)
        api.delete_repo(repo_id)
        with pytest.raises(RepositoryNotFoundError):
            api.delete_repo(repo_id)
        assert not api.repo_exists(repo_id)

    def test_accounts(self, api, hub, monkeypatch):
        assert api.whoami()["orgs"][0]["name"] == "hospital"
        api.create_repo("hospital/shared")
        with pytest.raises(HfHubHTTPError, match="403"):
            api.create_repo("hospital/other", token=OTHER_TOKEN)
        with pytest.raises(HfHubHTTPError, match="401"):
            api.repo_info("hospital/shared", token="hf_wrong")
        monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(LocalTokenNotFoundError):
            api.whoami()

    def test_cards(self, api, hub, repo_id):
        api.create_repo(repo_id, repo_type="dataset")
        DatasetCard(CARD).push_to_hub(repo_id)
        assert DatasetCard.load(repo_id).data.pretty_name == "Small"
        api.create_repo(repo_id)
        ModelCard(CARD).push_to_hub(repo_id)
        assert ModelCard.load(repo_id).data.license == "mit"
        with pytest.raises(ValueError, match="Invalid metadata"):
            api.upload_file(repo_id=repo_id, path_in_repo="README.md", path_or_fileobj=b"---\na: [\n---\n")


class TinyModel(ModelMixin, ConfigMixin):
    @register_to_config
    def __init__(self, width: int = 4):
        super().__init__()
        self.layer = torch.nn.Linear(width, width)


def test_model_round_trip(hub, repo_id):
    model = TinyModel(width=3)
    model.push_to_hub(repo_id, private=True)
    with pytest.raises(OSError, match="not a valid model identifier"):
        TinyModel.from_pretrained(repo_id, token=OTHER_TOKEN)
    loaded = TinyModel.from_pretrained(repo_id)
    assert loaded.config.width == 3
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert set(hub.repo(repo_id).head.files) > {"config.json", "diffusion_pytorch_model.safetensors"}


class TestGuards:
    def test_foreign_addresses_are_refused(self, refused_hosts):
        with pytest.raises(AssertionError, match="example.org"):
            socket.getaddrinfo("example.org", 443)
        with socket.socket() as client, pytest.raises(AssertionError, match="192.0.2.1"):
            client.connect(("192.0.2.1", 443))
        assert refused_hosts == ["example.org", "192.0.2.1"]
        refused_hosts.clear()

    def test_unknown_routes_and_own_errors_are_noted(self, hub):
        assert httpx2.get(f"{hub.url}/api/jobs").status_code == 501
        assert httpx2.post(f"{hub.url}/api/validate-yaml", content=b"{}").status_code == 501
        assert "no route for GET /api/jobs" in hub.problems[0] and "KeyError" in hub.problems[1]
        hub.problems.clear()

    def test_wrong_content_is_not_stored(self, hub, repo_id):
        hub.create_repo(repo_id)
        assert httpx2.put(f"{hub.url}/lfs/models/{repo_id}/{'0' * 64}", content=b"1").status_code == 400
