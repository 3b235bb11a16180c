import hashlib
import json

import pytest

from hf_hybrid.core import provenance
from hf_hybrid.core.artifacts import PROVENANCE
from hf_hybrid.core.errors import InputError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.bin").write_bytes(b"one")
    (tmp_path / "two.txt").write_text("two")
    files = provenance.hash_files(tmp_path, ["two.txt", "data/one.bin"])
    provenance.write_provenance(tmp_path, {"release": {"seed": 0, "source_name": None}, "files": files})
    return tmp_path


def test_hashes_are_sorted_sha256(folder):
    files = provenance.read_provenance(folder)["files"]
    assert list(files.items()) == [
        ("data/one.bin", hashlib.sha256(b"one").hexdigest()),
        ("two.txt", hashlib.sha256(b"two").hexdigest()),
    ]
    assert provenance.check_files(folder) == files


def test_the_same_facts_give_the_same_bytes(folder):
    before = (folder / PROVENANCE).read_bytes()
    provenance.write_provenance(folder, provenance.read_provenance(folder))
    assert (folder / PROVENANCE).read_bytes() == before


def test_versions_name_what_decides_the_bytes():
    found = provenance.versions()
    assert {"python", "hf_hybrid", "torch", "pyarrow", "pillow"} <= set(found)
    assert all(version[0].isdigit() for version in found.values())


def test_changed_file_is_named(folder):
    (folder / "two.txt").write_text("2")
    with pytest.raises(InputError) as caught:
        provenance.check_files(folder)
    assert str(caught.value) == (
        f"expected the files as provenance.json lists them, found two.txt changed: make {folder} again"
    )


def test_lost_file_is_named(folder):
    (folder / "data" / "one.bin").unlink()
    with pytest.raises(InputError, match="found no data/one.bin: make"):
        provenance.check_files(folder)


@pytest.mark.parametrize("path", ["/data/hospital/table.csv", "C:\\hospital\\table.csv", "\\\\server\\hospital\\x"])
def test_no_path_of_this_machine_is_written(tmp_path, path):
    facts = {"sampler": {"config": {"files": ["relative/name.csv", path]}}}
    with pytest.raises(
        ValueError, match="expected `sampler.config.files` without a path of this machine, found one"
    ) as caught:
        provenance.write_provenance(tmp_path, facts)
    assert "hospital" not in str(caught.value)
    assert not (tmp_path / PROVENANCE).exists()


def test_a_number_that_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        provenance.write_provenance(tmp_path, {"score": float("nan")})


@pytest.mark.parametrize("content", [None, "not json", json.dumps([1])])
def test_folder_without_provenance_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / PROVENANCE).write_text(content)
    with pytest.raises(InputError, match="^expected a .* found"):
        provenance.read_provenance(tmp_path)
