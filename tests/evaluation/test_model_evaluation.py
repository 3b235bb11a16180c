"""Attacks on the files of a pipeline and of a codec: what holds its records fails, and nothing goes unasked."""

import json
import shutil

import numpy as np
import pytest
from tiny import messy_table, tiny_codec, tiny_samplers, write_image_folder

from hf_hybrid.commands import cli
from hf_hybrid.core import artifacts, provenance
from hf_hybrid.core.errors import InputError, PushRefused
from hf_hybrid.data.records import load_records
from hf_hybrid.evaluation import model_attacks
from hf_hybrid.evaluation.model_evaluation import evaluate_model
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.hub import gate
from hf_hybrid.hub.upload import push
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.samplers.controls import BootstrapSampler
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.synthesis.pipeline import HybridPipeline

FAST = EvaluationOptions(bootstraps=100)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Image folders of the patients learned from and of others."""
    folder = tmp_path_factory.mktemp("real")
    others = messy_table(120, seed=5)
    others["patient_id"] += "-of-the-test"
    return write_image_folder(folder / "train", messy_table(160)), write_image_folder(folder / "test", others, seed=5)


@pytest.fixture
def pipeline(real, tmp_path):
    def fit(sampler):
        records = load_records(str(real[0]), targets=["outcome", "age"])
        HybridPipeline.fit(records, tiny_codec(), sampler).save_pretrained(tmp_path / "pipeline")
        return tmp_path / "pipeline"

    return fit


@pytest.fixture(scope="module")
def learned(real, tmp_path_factory):
    """A pipeline with a copula, fitted once."""
    folder = tmp_path_factory.mktemp("learned") / "pipeline"
    records = load_records(str(real[0]), targets=["outcome", "age"])
    HybridPipeline.fit(records, tiny_codec(), GaussianCopulaSampler()).save_pretrained(folder)
    return folder


@pytest.fixture
def copula(learned, tmp_path):
    return shutil.copytree(learned, tmp_path / "pipeline")


def attacks(report):
    return {score["name"]: score for score in report["privacy"]["families"][0]["scores"]}


def test_a_sampler_that_holds_its_rows_fails(pipeline, real):
    report = evaluate_model(pipeline(BootstrapSampler()), *real, FAST).to_dict()
    found = attacks(report)["sampler: nearest row"]
    assert found["value"] == 0.5 and found["reference"]["AUC"] == 1.0
    assert report["privacy"]["verdict"] == "fail"
    assert report["privacy"]["families"][0]["failed"] == ["sampler: nearest row"]


def test_a_copula_of_few_columns_is_told_as_it_is(copula, real):
    report = evaluate_model(copula, *real, FAST).to_dict()
    found = attacks(report)["sampler: likelihood"]
    low, high = found["interval"]
    assert low <= found["value"] <= high and report["privacy"]["verdict"] != "fail"
    assert found["reference"]["AUC"] == found["reference"]["AUC by the likelihood of a Gaussian copula"]
    assert json.loads((copula / "report.json").read_text("utf-8")) == report
    card = (copula / "README.md").read_text("utf-8")
    assert "sampler: likelihood" in card and "Privacy has not been measured" not in card
    assert set(report["provenance"]["files"]) == {
        *("schema.json", "codec/diffusion_pytorch_model.safetensors"),
        *("sampler/config.json", "sampler/model.safetensors"),
    }


@pytest.mark.parametrize("name", ["ctgan", "diffusion"])
def test_every_trained_sampler_is_asked(pipeline, real, name):
    report = evaluate_model(pipeline(tiny_samplers()[name]), *real, FAST).to_dict()
    expected = {
        "ctgan": {"sampler: best-latent distance"},
        "diffusion": {
            "sampler: denoising loss",
            "sampler: denoising loss of the latents given the row",
            "sampler: likelihood",
        },
    }
    assert set(attacks(report)) == expected[name]
    assert [curve["kind"] for curve in report["privacy"]["curves"]] == ["roc"] * len(expected[name])


def test_a_pipeline_is_pushed_with_its_report_only(copula, real, capsys):
    words = ["push", str(copula), "--repo_id", "owner/name", "--dry_run"]
    assert cli.main(words) == 3
    assert "in which privacy was measured, found none: run `hf-hybrid evaluate` on it" in capsys.readouterr().err
    # 44 test patients settle nothing: private it may go, public only with a reason.
    options = [f"--train={real[0]}", f"--test={real[1]}", "--bootstraps=100", "--privacy.membership_above_chance=0.03"]
    assert cli.main(["evaluate", str(copula), *options]) == 0
    assert "membership: inconclusive" in capsys.readouterr().out
    assert cli.main(words) == 0
    public = [*words, "--public", "--gated=true"]
    assert cli.main(public) == 2
    assert "expected a licence for a public pipeline, found 'other' in its card" in capsys.readouterr().err
    assert cli.main([*public, "--license=cc-by-4.0"]) == 3
    assert "privacy is inconclusive (membership" in capsys.readouterr().err
    loaded = HybridPipeline.from_pretrained(copula)
    loaded.save_pretrained(copula.with_name("again"))
    assert gate.check(copula.with_name("again")).kind is artifacts.PIPELINE
    weights = copula / "sampler" / "config.json"
    weights.write_text(weights.read_text("utf-8") + "\n", encoding="utf-8")
    facts = provenance.read_provenance(copula)
    facts["files"] |= provenance.hash_files(copula, ["sampler/config.json"])
    provenance.write_provenance(copula, facts)
    with pytest.raises(PushRefused, match="about these files, found one about others"):
        push(copula, "owner/name", dry_run=True)


def test_the_same_records_are_no_others_even_where_no_patient_is_known(real, tmp_path):
    table = messy_table(60).drop(columns=["patient_id"])
    folder = write_image_folder(tmp_path / "nobody", table)
    records = load_records(str(folder), targets=["outcome"])
    HybridPipeline.fit(records, tiny_codec(), GaussianCopulaSampler()).save_pretrained(tmp_path / "pipeline")
    with pytest.raises(InputError, match="expected other images in `test` than in `train`, found 60 of 60 in both"):
        evaluate_model(tmp_path / "pipeline", folder, f"{folder}:train", FAST)


def test_how_many_images_a_patient_has_tells_nothing(real, monkeypatch):
    from hf_hybrid.evaluation.attacks.membership import chance_test
    from hf_hybrid.evaluation.model_attacks import _by_patient

    rng = np.random.default_rng(0)
    scores = [rng.normal(size=600), rng.normal(size=200)]  # three images of each patient learned from, one of others
    groups = [np.repeat(np.arange(200), 3), np.arange(200)]
    risk = chance_test("any", _by_patient(scores, groups), FAST).risk
    assert abs(risk.value) < 0.08


def test_few_replicates_let_nothing_through(copula, real):
    evaluate_model(copula, *real, EvaluationOptions(bootstraps=20))
    with pytest.raises(PushRefused, match="expected at least 100 `bootstraps` behind a report.json, found 20"):
        gate.check(copula)


def test_an_accepted_risk_stands_in_the_card_of_a_pipeline(copula, real):
    from hf_hybrid.evaluation.publication import state

    evaluate_model(copula, *real, FAST)
    with pytest.raises(InputError, match="expected a reason"):
        state(copula, accepted_risk=" ")
    state(copula, license="cc-by-4.0", accepted_risk="a drawn cohort")
    assert "The publisher accepts the risk: a drawn cohort." in (copula / "README.md").read_text("utf-8")
    assert gate.check(copula, public=True).kind is artifacts.PIPELINE
    evaluate_model(copula, *real, FAST)  # it was said of an earlier report
    assert "accepts the risk" not in (copula / "README.md").read_text("utf-8")


def test_a_codec_of_private_images_is_attacked_and_pushed_with_its_report_only(real, tmp_path):
    codec = AlphaGAN(resolution=32, latent_dim=6, base_channels=8, private_images=True)
    codec.save_with_card(tmp_path / "codec")
    with pytest.raises(PushRefused, match="in which privacy was measured, found none"):
        push(tmp_path / "codec", "owner/name", dry_run=True)
    report = evaluate_model(tmp_path / "codec", *real, FAST).to_dict()
    assert set(attacks(report)) == {"codec: reconstruction"}
    assert report["privacy"]["verdict"] != "fail"  # it learned from nobody
    assert push(tmp_path / "codec", "owner/name", dry_run=True).kind == "codec"
    assert "These images are not public." in (tmp_path / "codec" / "README.md").read_text("utf-8")


def test_the_images_of_a_private_codec_are_counted(real, tmp_path):
    codec = AlphaGAN(resolution=32, latent_dim=6, base_channels=8, private_images=True)
    training = {"images": "images", "steps": 1, "seed": 0, "scores": {}, "num_images": 7}
    codec.save_with_card(tmp_path / "codec", training=training)
    records = load_records(str(real[0]), targets=["outcome"])
    HybridPipeline.fit(records, tmp_path / "codec", GaussianCopulaSampler()).save_pretrained(tmp_path / "pipeline")
    for folder in ("codec", "pipeline"):
        with pytest.raises(InputError, match="the images that the codec learned from, 7, found 160"):
            evaluate_model(tmp_path / folder, *real, FAST)


def test_a_codec_that_learned_its_images_by_heart_fails(real, tmp_path, monkeypatch):

    codec = AlphaGAN(resolution=32, latent_dim=6, base_channels=8, private_images=True)
    codec.save_with_card(tmp_path / "codec")
    known = {image.tobytes() for image in load_records(str(real[0])).pixel_values(32)}

    def by_heart(records, codec, *details):
        assert details == (False,)  # the mean image: drawn detail would hide what the codec knows
        pixels = records.pixel_values(32)
        return [pixels, np.stack([image if image.tobytes() in known else 0 * image for image in pixels])]

    monkeypatch.setattr(model_attacks, "reconstruct", by_heart)
    report = evaluate_model(tmp_path / "codec", *real, FAST).to_dict()
    assert report["privacy"]["verdict"] == "fail" and attacks(report)["codec: reconstruction"]["value"] == 0.5


def test_what_does_not_fit_is_refused(copula, real, tmp_path, capsys):
    with pytest.raises(InputError, match="expected in `train` the records that .* was learned from"):
        evaluate_model(copula, real[1], real[0], FAST)
    with pytest.raises(InputError, match="expected other patients in `test` than in `train`"):
        evaluate_model(copula, real[0], real[0], FAST)
    others = write_image_folder(tmp_path / "others", messy_table(160), seed=9)  # as many, of as many patients
    with pytest.raises(InputError, match="that the pipeline was learned from, found others"):
        evaluate_model(copula, others, real[1], FAST)
    words = ["evaluate", str(copula), f"--train={real[0]}", f"--test={real[1]}"]
    assert cli.main([*words, "--image_model=cnn", "--codec=a"]) == 2
    assert "expected `codec`, `image_model` for a release only: leave it out" in capsys.readouterr().err
    with pytest.raises(InputError, match="a pipeline has its own, leave it out"):
        evaluate_model(copula, *real, FAST, schema=copula / "schema.json")
    tiny_codec().save_with_card(tmp_path / "public")
    with pytest.raises(InputError, match="found one of public images: it needs no report"):
        evaluate_model(tmp_path / "public", *real, FAST)
