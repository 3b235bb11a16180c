import io
import itertools
import json
import shutil

import httpx2
import numpy as np
import pytest
from datasets import load_dataset
from datasets.exceptions import DatasetNotFoundError
from example_folders import (
    NUM_RECORDS,
    REPORT,
    evaluate,
    evaluate_model,
    make_codec,
    make_pipeline,
    make_release,
    png,
    privacy,
    seal,
)
from hub_fixture import OTHER_TOKEN, READER_TOKEN
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tiny import tiny_codec

from hf_hybrid.commands import cli
from hf_hybrid.commands import push as command
from hf_hybrid.core import provenance
from hf_hybrid.core.errors import InputError, PushFailed, PushRefused
from hf_hybrid.hub import calls
from hf_hybrid.hub.upload import push
from hf_hybrid.reports import cards

NUM_SHARDS = 3
RELEASE_FILES = [
    "README.md",
    "assets/samples.png",
    *(f"data/train-{shard:05d}-of-{NUM_SHARDS:05d}.parquet" for shard in range(NUM_SHARDS)),
    "provenance.json",
    "report.json",
    "schema.json",
]
_seeds = itertools.count()


@pytest.fixture
def release(tmp_path):
    # A seed of its own: the stand-in knows no object of another test, but caches of the clients might.
    return finish_release(make_release(tmp_path / "release", NUM_SHARDS, next(_seeds)))


def finish_release(folder, report=REPORT):
    evaluate(folder, report)
    cards.release_card(folder).save(folder / "README.md")
    return seal(folder)


@pytest.fixture
def pipeline(tmp_path):
    folder = evaluate_model(make_pipeline(tmp_path / "pipeline"))
    cards.pipeline_card(folder).save(folder / "README.md")
    return seal(folder)


@pytest.fixture
def pauses(monkeypatch):
    monkeypatch.setattr(calls, "RETRY_PAUSES", (0.0, 0.0))


def uploaded(hub) -> int:
    return len(hub.requests("PUT", "/lfs/"))


def assert_unsent(hub, repo_id, repo_type="dataset") -> None:
    assert (repo_type, repo_id) not in hub.repos and not hub.requests("POST|PUT")


class TestEvidence:
    """A release goes nowhere without a report about these very records that finds no attack too strong."""

    @pytest.fixture
    def made(self, tmp_path):
        def make(**verdicts):
            report = {**REPORT, "privacy": privacy(**verdicts)}
            return finish_release(make_release(tmp_path / "release", NUM_SHARDS, next(_seeds)), report)

        return make

    def test_without_a_report_it_is_refused(self, hub, repo_id, release):
        (release / "report.json").unlink()
        seal(release)
        with pytest.raises(PushRefused, match="in which privacy was measured, found none: run `hf-hybrid evaluate`"):
            push(release, repo_id)
        assert_unsent(hub, repo_id)

    def test_a_report_in_which_privacy_was_not_measured_is_none(self, hub, repo_id, tmp_path):
        report = {**REPORT, "privacy": {"status": "not measured", "reason": "x"}}
        release = finish_release(make_release(tmp_path / "release", NUM_SHARDS, next(_seeds)), report)
        with pytest.raises(PushRefused, match="in which privacy was measured, found none"):
            push(release, repo_id)
        assert_unsent(hub, repo_id)

    def test_a_report_about_other_records_is_refused(self, hub, repo_id, tmp_path, release):
        other = finish_release(make_release(tmp_path / "other", NUM_SHARDS, next(_seeds)))
        (release / "report.json").write_bytes((other / "report.json").read_bytes())
        seal(release)
        with pytest.raises(PushRefused, match="about these files, found one about others"):
            push(release, repo_id)
        assert_unsent(hub, repo_id)

    def test_a_report_without_one_of_the_attacks_is_refused(self, hub, repo_id, tmp_path):
        section = privacy()
        del section["families"][1]
        release = make_release(tmp_path / "release", NUM_SHARDS, next(_seeds))
        with pytest.raises(PushRefused, match="on all attacks, found none on membership"):
            push(finish_release(release, {**REPORT, "privacy": section}), repo_id)
        assert_unsent(hub, repo_id)

    def test_an_image_with_more_than_pixels_is_refused(self, hub, repo_id, tmp_path):
        info, stream = PngInfo(), io.BytesIO()
        info.add_text("PatientName", "Zyxwvut")
        Image.new("L", (8, 8)).save(stream, "PNG", pnginfo=info)
        release = make_release(tmp_path / "release", NUM_SHARDS, next(_seeds))
        (release / "assets" / "samples.png").write_bytes(stream.getvalue())
        with pytest.raises(PushRefused, match=r"assets/samples.png holds an image with more than pixels \(tEXt\)"):
            push(finish_release(release), repo_id)
        assert_unsent(hub, repo_id)

    @pytest.mark.parametrize("public", [False, True])
    def test_a_failed_family_is_refused_and_says_what_to_do(self, hub, repo_id, made, public, capsys):
        release = made(copies="fail")
        with pytest.raises(PushRefused, match=r"copies failed \(exact copy: image\): use a sampler that copies less"):
            push(release, repo_id, public=public, gated=False)
        assert cli.main(["push", str(release), "--repo_id", repo_id, "--accept-risk", "we must"]) == 3
        assert "copies failed" in capsys.readouterr().err
        assert "we must" not in (release / "README.md").read_text()
        assert_unsent(hub, repo_id)

    @pytest.mark.parametrize("change", [{"limit": 0.5}, {"fails_above": 0.2}])
    def test_a_looser_limit_than_the_usual_one_settles_nothing(self, hub, repo_id, tmp_path, change):
        section = privacy()
        section["families"][0] |= change
        release = make_release(tmp_path / "release", NUM_SHARDS, next(_seeds))
        with pytest.raises(PushRefused, match=r"privacy is inconclusive \(copies;"):
            push(finish_release(release, {**REPORT, "privacy": section}), repo_id, public=True, gated=False)
        assert_unsent(hub, repo_id)

    @pytest.mark.parametrize("section", [None, [], {"status": "measured"}, {"status": "measured", "families": [{}]}])
    def test_a_report_of_another_form_is_refused(self, hub, repo_id, release, section):
        (release / "report.json").write_text(json.dumps({**REPORT, "privacy": section}))
        with pytest.raises(PushRefused, match="expected a report.json of `hf-hybrid evaluate`, found another"):
            push(seal(release), repo_id)
        assert_unsent(hub, repo_id)

    def test_a_word_that_is_no_verdict_is_none(self, hub, repo_id, release):
        report = json.loads((release / "report.json").read_text())
        report["privacy"]["families"][2]["verdict"] = "ok"
        (release / "report.json").write_text(json.dumps(report))
        with pytest.raises(PushRefused, match="found .attribute inference. with .ok."):
            push(seal(release), repo_id)
        assert_unsent(hub, repo_id)

    def test_a_dry_run_writes_nothing(self, repo_id, made):
        release = made(copies="inconclusive")
        before = {path: path.read_bytes() for path in release.rglob("*.*") if path.is_file()}
        words = ["push", str(release), "--repo_id", repo_id, "--public", "--gated=true", "--dry-run"]
        assert cli.main(words) == 3
        assert cli.main([*words, "--accept-risk", "a pilot"]) == 0
        assert {path: path.read_bytes() for path in release.rglob("*.*") if path.is_file()} == before

    def test_a_reason_is_asked_of_what_is_private_and_not_empty(self, repo_id, made, pipeline, tmp_path, capsys):
        codec = make_codec(tmp_path / "codec")
        cards.codec_card(codec).save(codec / "README.md")
        for folder, reason in ((made(), " "), (pipeline, " "), (seal(codec), "a pilot")):
            assert cli.main(["push", str(folder), "--repo_id", repo_id, "--accept-risk", reason]) == 2
            assert "expected a reason, for training on private records only" in capsys.readouterr().err

    def test_a_public_push_asks_for_access_and_licence(self, hub, repo_id, made, capsys):
        release = made()
        words = ["push", str(release), "--repo_id", repo_id, "--public"]
        assert cli.main(words) == 2
        assert "expected `--gated true` (readers ask, you decide) or `--gated false`" in capsys.readouterr().err
        facts = provenance.read_provenance(release)
        provenance.write_provenance(release, {**facts, "release": facts["release"] | {"license": "other"}})
        cards.release_card(release).save(release / "README.md")
        seal(release)
        words += ["--gated", "true"]
        assert cli.main(words) == 2
        assert "expected a licence for a public release, found 'other' in its card" in capsys.readouterr().err
        assert cli.main([*words, "--license", "MY own"]) == 2
        assert_unsent(hub, repo_id)
        assert cli.main([*words, "--license", "cc-by-nc-4.0"]) == 0
        pushed = hub.repo(repo_id, "dataset")
        assert (pushed.private, pushed.gated) == (False, "manual")
        assert "license: cc-by-nc-4.0\n" in pushed.read("README.md").decode()

    def test_a_licence_of_a_codec_stands_in_its_card(self, hub, repo_id, tmp_path):
        tiny_codec().save_with_card(tmp_path / "codec")
        words = ["push", str(tmp_path / "codec"), "--repo_id", repo_id, "--public", "--gated=false"]
        assert cli.main(words) == 2
        assert cli.main([*words, "--license=apache-2.0"]) == 0
        assert "license: apache-2.0\n" in hub.repo(repo_id, "model").read("README.md").decode()

    def test_an_inconclusive_one_goes_private(self, hub, repo_id, made):
        assert push(made(copies="inconclusive"), repo_id).public is False
        assert hub.repo(repo_id, "dataset").private

    def test_and_public_with_a_reason_that_the_card_shows(self, hub, repo_id, made, capsys):
        release = made(copies="inconclusive")
        words = ["push", str(release), "--repo_id", repo_id, "--public", "--gated", "false"]
        assert cli.main(words) == 3
        assert 'accept the risk with `--accept-risk "reason"`' in capsys.readouterr().err
        assert_unsent(hub, repo_id)
        assert cli.main([*words, "--accept-risk", "all are dead since 1950"]) == 0
        pushed = hub.repo(repo_id, "dataset")
        assert not pushed.private
        assert "The publisher accepts the risk: all are dead since 1950." in pushed.read("README.md").decode()


class TestRelease:
    @pytest.fixture
    def pushed(self, hub, repo_id, release):
        result = push(release, repo_id)
        assert (result.kind, result.repo_type, result.public, result.uploaded) == ("release", "dataset", False, True)
        assert result.url == f"{hub.url}/datasets/{repo_id}" and result.files == RELEASE_FILES
        return hub.repo(repo_id, "dataset")

    def test_is_private_and_complete(self, hub, pushed, release):
        assert pushed.private and not pushed.gated
        assert set(pushed.head.files) == {".gitattributes", *RELEASE_FILES}
        assert all(pushed.read(name) == (release / name).read_bytes() for name in RELEASE_FILES)

    def test_data_comes_first_and_the_card_last(self, pushed):
        newest, data, _ = pushed.history()
        assert "README.md" not in data.files and set(RELEASE_FILES[2:6]) < set(data.files)
        assert "README.md" in newest.files

    @pytest.mark.parametrize("streaming", [False, True])
    def test_loads_as_the_folder_does(self, hub, pushed, repo_id, release, tmp_path, streaming):
        options = {"split": "train", "streaming": streaming, "cache_dir": tmp_path / "cache"}
        there, here = load_dataset(repo_id, **options), load_dataset(str(release), **options)
        assert there.features == here.features
        pairs = list(zip(there, here, strict=True))
        assert len(pairs) == NUM_RECORDS
        for one, other in pairs:
            assert np.array_equal(np.asarray(one.pop("image")), np.asarray(other.pop("image")))
            assert one == other

    def test_private_is_for_its_owner_only(self, pushed, repo_id, tmp_path):
        for token in (False, OTHER_TOKEN):
            with pytest.raises(DatasetNotFoundError):
                load_dataset(repo_id, token=token, cache_dir=tmp_path / "cache")
        assert load_dataset(repo_id, split="train", token=READER_TOKEN, cache_dir=tmp_path / "cache").num_rows == 12

    def test_second_push_sends_nothing(self, hub, pushed, repo_id, release):
        hub.log.clear()
        push(release, repo_id)
        assert uploaded(hub) == 0 and len(pushed.history()) == 3

    def test_smaller_release_leaves_no_old_shard(self, pushed, repo_id, tmp_path):
        push(finish_release(make_release(tmp_path / "other", 1, next(_seeds))), repo_id)
        assert [name for name in pushed.head.files if name.startswith("data/")] == [
            "data/train-00000-of-00001.parquet"
        ]

    def test_public_in_the_end(self, hub, release, repo_id):
        states = []

        def look():
            states.append(hub.repo(repo_id, "dataset").private)

        hub.fail("POST|PUT", "/commit/|/lfs/", before=look, times=None)
        assert push(release, repo_id, public=True, gated=True).public
        repo = hub.repo(repo_id, "dataset")
        assert (repo.private, repo.gated) == (False, "manual") and set(states) == {True} and len(states) >= 5
        settings = [place for place, entry in enumerate(hub.log) if entry.path.endswith("/settings")]
        reads = [place for place, entry in enumerate(hub.log) if entry.path.endswith(".parquet")]
        assert len(settings) == 1 and reads and max(reads) < settings[0]
        # Nothing but a look at the result comes after it.
        assert [entry.method for entry in hub.log[settings[0] + 1 :]] == ["GET"]

    def test_public_after_private(self, hub, pushed, release, repo_id):
        push(release, repo_id, public=True, gated=False)
        assert not pushed.private and len(pushed.history()) == 3
        hub.log.clear()
        push(
            release, repo_id, public=True, gated=False
        )  # the answer to the last request of the first push may have been lost
        assert uploaded(hub) == 0 and not hub.requests("POST", "/commit/")


class TestModels:
    def test_codec(self, hub, repo_id, tmp_path):
        folder = make_codec(tmp_path / "codec")
        cards.codec_card(folder).save(folder / "README.md")
        seal(folder)
        (folder / "logs").mkdir()
        (folder / "logs" / "checkpoint.pkl").write_bytes(b"\x80\x04private")
        files = ["README.md", "assets/samples.png", "config.json", "diffusion_pytorch_model.safetensors"]
        result = push(folder, repo_id)
        assert (result.kind, result.repo_type) == ("codec", "model")
        assert result.files == [*files, "provenance.json"] and result.left_out == ["logs/checkpoint.pkl"]
        assert set(hub.repo(repo_id).head.files) == {".gitattributes", *result.files} and hub.repo(repo_id).private

    def test_pipeline(self, hub, repo_id, pipeline, tmp_path):
        push(pipeline, repo_id)
        copy = snapshot_download(repo_id)
        for name in ("sampler/model.safetensors", "codec/diffusion_pytorch_model.safetensors", "schema.json"):
            assert (pipeline / name).read_bytes() == open(f"{copy}/{name}", "rb").read()
        with pytest.raises(RepositoryNotFoundError):
            snapshot_download(repo_id, token=OTHER_TOKEN, cache_dir=tmp_path / "cache")


class TestGate:
    def test_dry_run_needs_neither_token_nor_network(self, hub, repo_id, release, monkeypatch):
        monkeypatch.delenv("HF_TOKEN")
        result = push(release, repo_id, public=True, gated=False, dry_run=True)
        assert (result.files, result.uploaded, result.public) == (RELEASE_FILES, False, False)
        assert hub.log == []

    def test_unlisted_files_stay(self, hub, repo_id, release):
        strays = ["assets/samples.csv", "assets/x.pkl", "data/real.parquet", "secret.csv", "sub/README.md"]
        for name in strays:
            (release / name).parent.mkdir(exist_ok=True)
            (release / name).write_bytes(b"PAR1 a private cell")
        result = push(release, repo_id)
        assert result.left_out == strays and result.files == RELEASE_FILES
        repo = hub.repo(repo_id, "dataset")
        assert not set(strays) & {path for commit in repo.commits.values() for path in commit.files}
        assert not any(b"a private cell" in blob for blob in repo.blobs.values())

    @pytest.mark.parametrize("name", ["assets/utility_age.png", "report.html"])
    def test_allowed_name_that_provenance_does_not_list(self, hub, repo_id, release, name):
        (release / name).write_bytes(png())
        if name.endswith("html"):
            (release / name).write_text("<p>a real patient</p>")
        with pytest.raises(InputError, match=f"found {name}: remove it"):
            push(release, repo_id)
        assert_unsent(hub, repo_id)

    def test_private_file_that_provenance_lists(self, release, repo_id):
        (release / "secret.csv").write_text("1,2")
        with pytest.raises(InputError, match="to list published files only, found secret.csv"):
            push(seal(release), repo_id, dry_run=True)

    @pytest.mark.parametrize("name", ["data/train-00001-of-00003.parquet", "README.md", "schema.json"])
    def test_changed_file(self, hub, repo_id, release, name):
        with (release / name).open("ab") as file:
            file.write(b" ")
        with pytest.raises(InputError, match=f"found {name} changed"):
            push(release, repo_id, dry_run=True)

    @pytest.mark.parametrize("name", ["data/train-00001-of-00003.parquet", "README.md", "schema.json"])
    def test_missing_file(self, release, repo_id, name):
        (release / name).unlink()
        with pytest.raises(InputError, match="expected a(ll| release)"):
            push(release, repo_id, dry_run=True)

    @pytest.mark.parametrize("place", ["data", "secret.csv"])
    def test_symbolic_link(self, release, repo_id, tmp_path, place):
        if (release / place).exists():
            shutil.move(release / place, tmp_path / place)
        (release / place).symlink_to(tmp_path / place)
        with pytest.raises(InputError, match="symbolic link"):
            push(release, repo_id, dry_run=True)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("sampler/model.safetensors", b"\x80\x04\x95pickled"),
            ("codec/diffusion_pytorch_model.safetensors", b"PK\x03\x04 a torch file"),
            ("assets/samples.png", b"\xff\xd8\xff a JPEG with EXIF"),
            ("config.json", b"\x80\x04\x95pickled"),
        ],
    )
    def test_file_that_is_not_what_it_says(self, hub, repo_id, pipeline, name, content):
        (pipeline / name).write_bytes(content)
        with pytest.raises(PushRefused, match=f"in {name}"):
            push(seal(pipeline), repo_id)
        assert_unsent(hub, repo_id, "model")

    @pytest.mark.parametrize("where", ["provenance.json", "sampler/config.json"])
    def test_training_records_are_never_pushed(self, hub, repo_id, pipeline, where):
        facts = json.loads((pipeline / where).read_text())
        place = facts["sampler"] if where == "provenance.json" else facts
        place["contains_training_records"] = True
        (pipeline / where).write_text(json.dumps(facts))
        with pytest.raises(PushRefused, match=f"{where} says `contains_training_records`"):
            push(seal(pipeline), repo_id)
        assert_unsent(hub, repo_id, "model")

    def test_folder_of_another_kind(self, tmp_path, repo_id):
        (tmp_path / "secret.csv").write_text("1,2")
        for folder in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(InputError, match="expected .*codec, pipeline or release"):
                push(folder, repo_id, dry_run=True)

    @pytest.mark.parametrize("name", ["chests", "a/b/c", "owner/..", ""])
    def test_name_without_namespace(self, release, name):
        with pytest.raises(InputError, match="`repo_id` as namespace/name"):
            push(release, name, dry_run=True)


class TestExistingRepository:
    @pytest.mark.parametrize("public", [False, True])
    def test_public_one_of_somebody_else_is_refused_and_untouched(self, hub, repo_id, release, public):
        repo = hub.create_repo(repo_id, "dataset")
        with pytest.raises(InputError, match="found it public"):
            push(release, repo_id, public=public, gated=False)
        assert len(repo.history()) == 1 and not hub.requests("POST|PUT")

    def test_a_public_release_is_updated_through_a_private_twin(self, hub, repo_id, release, tmp_path):
        push(release, repo_id, public=True, gated=False)
        other = finish_release(make_release(tmp_path / "other", 1, next(_seeds)))
        with pytest.raises(InputError, match="found it public: add `--public` to update it"):
            push(other, repo_id)
        public, states = hub.repo(repo_id, "dataset"), []
        before = len(public.history())

        def look():
            twin = hub.repos.get(("dataset", f"{repo_id}-twin"))
            states.append((len(public.history()) - before, twin and twin.private))

        hub.fail("GET", r"-twin/.*\.parquet$", before=look, times=None)
        result = push(other, repo_id, public=True, gated=False)
        assert states and set(states) == {(0, True)}  # while the twin was verified, the public one was as before
        assert result.public and not public.private and len(public.history()) == before + 1
        assert set(public.head.files) == {".gitattributes", *result.files}
        assert not [name for name in public.head.files if name.endswith("of-00003.parquet")]
        assert hub.repo(f"{repo_id}-twin", "dataset").private
        hub.log.clear()
        push(other, repo_id, public=True, gated=False)  # once more only verifies
        assert uploaded(hub) == 0 and not hub.requests("POST", "/commit/")

    def test_two_updates_of_a_public_release_at_once_do_not_mix(self, hub, repo_id, release, tmp_path, pauses):
        push(release, repo_id, public=True, gated=False)
        other = finish_release(make_release(tmp_path / "other", 1, next(_seeds)))
        public = hub.repo(repo_id, "dataset")

        def intrude():  # the other push is through while ours fills its twin
            public.commit({"data/train-00000-of-00003.parquet": b"PAR1 of another"})

        hub.fail("POST", "-twin/commit/", after=intrude, skip=1)
        with pytest.raises(PushFailed, match="412"):
            push(other, repo_id, public=True, gated=False)
        assert public.read("data/train-00000-of-00003.parquet") == b"PAR1 of another"
        assert "data/train-00000-of-00001.parquet" not in public.head.files

    def test_a_twin_that_does_not_verify_leaves_the_public_one_alone(self, hub, repo_id, release, tmp_path, pauses):
        push(release, repo_id, public=True, gated=False)
        other = finish_release(make_release(tmp_path / "other", 1, next(_seeds)))
        public = hub.repo(repo_id, "dataset")
        before = len(public.history())

        def spoil():
            hub.repo(f"{repo_id}-twin", "dataset").corrupt("data/train-00000-of-00001.parquet", relabel=True)

        hub.fail("POST", "-twin/commit/", after=spoil, skip=1)
        with pytest.raises(PushFailed):
            push(other, repo_id, public=True, gated=False)
        assert len(public.history()) == before

    def test_made_public_by_somebody_during_the_creation(self, hub, repo_id, release):
        hub.fail("POST", "/repos/create", after=lambda: setattr(hub.repo(repo_id, "dataset"), "private", False))
        with pytest.raises(InputError, match="found it public"):
            push(release, repo_id)
        assert uploaded(hub) == 0

    @pytest.mark.parametrize(
        ("files", "found"),
        [
            ({"patients.csv": b"1"}, "patients.csv"),
            ({"data/train-00000-of-00001.parquet": b"PAR1"}, "no provenance.json"),
        ],
    )
    def test_repository_with_other_content_is_refused(self, hub, repo_id, release, files, found):
        repo = hub.create_repo(repo_id, "dataset", private=True, files=files)
        with pytest.raises(InputError, match=found):
            push(release, repo_id)
        assert len(repo.history()) == 2

    def test_earlier_versions_are_not_made_public(self, hub, repo_id, release, tmp_path):
        push(release, repo_id)
        other = finish_release(make_release(tmp_path / "other", NUM_SHARDS, next(_seeds)))
        with pytest.raises(InputError, match="other versions of .*data/train-00000-of-00003.parquet"):
            push(other, repo_id, public=True, gated=False)
        assert hub.repo(repo_id, "dataset").private

    def test_other_branches_are_not_made_public(self, hub, repo_id, release):
        push(release, repo_id)
        hub.repo(repo_id, "dataset").commit({"patients.csv": b"1"}, ref="refs/heads/private")
        with pytest.raises(InputError, match="other versions of patients.csv"):
            push(release, repo_id, public=True, gated=False)
        assert hub.repo(repo_id, "dataset").private

    def test_commit_of_somebody_else_during_the_push(self, hub, repo_id, release):
        def intrude():
            hub.repo(repo_id, "dataset").commit({"patients.csv": b"1"})

        hub.fail("GET", r"\.parquet$", before=intrude)
        with pytest.raises(PushFailed, match="changed by somebody else"):
            push(release, repo_id, public=True, gated=False)
        assert hub.repo(repo_id, "dataset").private


class TestFaults:
    def test_resumed_without_sending_a_finished_shard_again(self, hub, repo_id, release, pauses):
        hub.fail("PUT", "/lfs/", drop="half_read", skip=1, times=None)
        with pytest.raises(PushFailed, match="push again, what has arrived is not sent twice"):
            push(release, repo_id)
        repo = hub.repo(repo_id, "dataset")
        arrived = {entry.path for entry in hub.requests("PUT", "/lfs/") if entry.status == 200}
        assert repo.private and len(repo.history()) == 1 and len(arrived) == 1
        hub.faults.clear()
        hub.log.clear()
        push(release, repo_id)
        again = [entry.path for entry in hub.requests("PUT", "/lfs/")]
        assert len(again) == len(set(again)) == NUM_SHARDS and not arrived & set(again)  # two shards, one image

    @pytest.mark.parametrize(
        "fault",
        [{"drop": "unanswered"}, {"drop": "unanswered", "skip": 1}, {"drop": "unread"}, {"status": 412}],
        ids=str,
    )
    def test_failing_commit_is_repeated(self, hub, repo_id, release, pauses, fault):
        hub.fail("POST", "/commit/", **fault)
        push(release, repo_id)
        assert len(hub.repo(repo_id, "dataset").history()) == 3 and uploaded(hub) == NUM_SHARDS + 1

    @pytest.mark.parametrize(
        "path", ["/api/datasets/[^/]+/[^/]+$", "/repos/create", "/validate-yaml", "/settings", "/refs"]
    )
    def test_server_error_passes(self, hub, repo_id, release, pauses, path):
        fault = hub.fail("GET|POST|PUT", path, status=500)
        push(release, repo_id, public=True, gated=False)
        assert fault.hits == 1 and not hub.repo(repo_id, "dataset").private

    def test_lost_answer_to_the_creation(self, hub, repo_id, release, pauses):
        hub.fail("POST", "/repos/create", drop="unanswered")
        push(release, repo_id)
        assert hub.repo(repo_id, "dataset").private

    def test_server_that_never_answers(self, hub, repo_id, release, pauses, monkeypatch):
        import threading

        monkeypatch.setattr(calls, "SILENCE_LIMIT", 0.3)
        done = threading.Event()
        hub.fail("POST", "/commit/", before=lambda: done.wait(5))
        push(release, repo_id)
        done.set()
        assert len(hub.repo(repo_id, "dataset").history()) == 3

    def test_damage_that_the_listing_shows(self, hub, repo_id, release):
        name = "data/train-00001-of-00003.parquet"
        damage = lambda: hub.repo(repo_id, "dataset").corrupt(name, relabel=True)  # noqa: E731
        hub.fail("POST", "/commit/", after=damage, skip=1)
        with pytest.raises(
            PushFailed, match=f"does not hold the files of .*{name} differ: this push did not make it public"
        ):
            push(release, repo_id, public=True, gated=False)
        assert hub.repo(repo_id, "dataset").private
        push(release, repo_id)
        assert hub.repo(repo_id, "dataset").read(name) == (release / name).read_bytes()

    @pytest.mark.parametrize("name", ["data/train-00000-of-00003.parquet", "data/train-00002-of-00003.parquet"])
    def test_damage_that_only_a_reader_sees(self, hub, repo_id, tmp_path, name):
        # Images large enough for the middle of a shard to be in one.
        release = finish_release(make_release(tmp_path / "release", NUM_SHARDS, next(_seeds), image_size=64))
        damage = lambda: hub.repo(repo_id, "dataset").corrupt(name)  # noqa: E731
        hub.fail("POST", "/commit/", after=damage, skip=1)
        with pytest.raises(PushFailed, match="could not be loaded back|loads other records"):
            push(release, repo_id, public=True, gated=False)
        assert hub.repo(repo_id, "dataset").private

    @pytest.mark.parametrize(
        ("token", "found"), [(READER_TOKEN, "403"), (OTHER_TOKEN, "403"), ("hf_not_a_token", "401")]
    )
    def test_token_that_may_not_write(self, hub, repo_id, release, token, found):
        with pytest.raises(
            InputError, match=f"a token that may write to `{repo_id}`, found the answer {found}"
        ) as caught:
            push(release, repo_id, token=token)
        assert token not in str(caught.value) and "\n" not in str(caught.value)
        assert not hub.repos

    def test_no_token(self, hub, repo_id, release, monkeypatch):
        monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(InputError, match="found none: run `hf auth login` or set `HF_TOKEN`"):
            push(release, repo_id)
        assert hub.log == []

    def test_card_that_the_hub_refuses(self, hub, repo_id, pipeline):
        (pipeline / "README.md").write_text("---\n- a list\n---\n")
        with pytest.raises(PushFailed, match="the metadata must be a mapping"):
            push(seal(pipeline), repo_id)

    def test_time_limit_is_taken_back(self, hub, repo_id, release):
        from huggingface_hub import get_session

        before = get_session().timeout
        push(release, repo_id)
        assert get_session().timeout == before != httpx2.Timeout(calls.SILENCE_LIMIT)


class TestCommand:
    def test_prints_what_it_does(self, hub, repo_id, release, capsys):
        for number in range(22):
            (release / f"note{number:02d}.txt").write_text("x")
        assert command.main(command.Options(str(release), repo_id, dry_run=True)) == 0
        assert capsys.readouterr().out.splitlines() == [
            *(f"would send {name}" for name in RELEASE_FILES),
            *(f"left out note{number:02d}.txt: not a file of a release" for number in range(20)),
            "left out 2 more",
            f"dry run: this release may be pushed to {hub.url}/datasets/{repo_id}",
        ]
        assert command.main(command.Options(str(release), repo_id)) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"{hub.url}/datasets/{repo_id} is verified and private"
        assert HfApi().repo_info(repo_id, repo_type="dataset").private

    def test_failure_on_the_way_is_one_line_and_1(self, hub, repo_id, release, capsys, pauses):
        hub.fail("POST", "/commit/", status=500, times=None)
        assert cli.main(["push", str(release), "--repo_id", repo_id]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: the push to `{repo_id}` failed with 500") and error.count("\n") == 1
