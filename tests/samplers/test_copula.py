"""The contract of samplers for the copula and for its control without pairing, and that they find what is there."""

import numpy as np
import pandas as pd
import pytest
from sampler_contract import SamplerContract, rows
from scipy.special import ndtri

from hf_hybrid.core.errors import InputError
from hf_hybrid.data import privacy_rule
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.samplers.copula import GaussianCopulaSampler, IndependentSampler
from hf_hybrid.samplers.rows import LatentRows

LINK = 0.6


def linked(count, seed=0):
    """A latent that tells a rare yes/no, a number and one of four groups, each through a normal coordinate."""
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(count, 3)).astype(np.float32)

    def coordinate():
        return LINK * latents[:, 0] + np.sqrt(1 - LINK**2) * rng.normal(size=count)

    ward = np.array(["a", "b", "c", "d"])[np.digitize(coordinate(), ndtri([0.1, 0.4, 0.8]))]
    crp = np.exp(coordinate()).round(3)
    crp[rng.random(count) < 0.3] = np.nan
    frame = pd.DataFrame({"died": coordinate() > ndtri(0.9), "crp": crp, "ward": pd.Series(ward, dtype=object)})
    frame["died"] = frame["died"].astype(object)
    schema = RecordSchema.infer(frame, "image")
    frame, _ = schema.read(frame)
    schema = privacy_rule.protect(schema, frame, np.arange(count))
    rows = LatentRows(latents, privacy_rule.restrict(schema, frame))
    return rows.take(np.flatnonzero(privacy_rule.expressible(schema, frame))), schema


def sampled(sampler, count=8000, seed=0):
    return LatentRows.from_dataset(sampler.sample(count, seed), sampler.schema_)


def relations(one):
    """Correlation of the first latent with each column, and of two columns with each other."""
    known = one.frame["crp"].notna().to_numpy()
    died = one.frame["died"].to_numpy(bool)
    crp = np.log(one.frame["crp"].to_numpy(float)[known].clip(1e-3))
    d = (one.frame["ward"] == "d").to_numpy()
    return {
        "died": np.corrcoef(one.latents[:, 0], died)[0, 1],
        "crp": np.corrcoef(one.latents[known, 0], crp)[0, 1],
        "ward": np.corrcoef(one.latents[:, 0], d)[0, 1],
        "crp and died": np.corrcoef(crp, died[known])[0, 1],
        "ward and died": np.corrcoef(d, died)[0, 1],
    }


class TestGaussianCopulaSampler(SamplerContract):
    def sampler(self):
        return GaussianCopulaSampler()

    @pytest.fixture(scope="class")
    @classmethod
    def learned(cls):
        records, schema = linked(4000)
        return records, GaussianCopulaSampler().fit(records.to_dataset(schema), schema)

    def test_relations_are_not_attenuated(self, learned):
        records, sampler = learned
        real, drawn = relations(records), relations(sampled(sampler))

        for name in ("died", "crp", "ward", "crp and died"):
            assert drawn[name] == pytest.approx(real[name], abs=0.05), name
        # Between two answers only to first order.
        assert drawn["ward and died"] == pytest.approx(real["ward and died"], abs=0.1)

    def test_shares_are_kept(self, learned):
        records, sampler = learned
        drawn = sampled(sampler)

        for name in ("died", "ward"):
            shares = records.frame[name].value_counts(normalize=True)
            found = drawn.frame[name].value_counts(normalize=True).reindex(shares.index)
            np.testing.assert_allclose(found, shares, atol=0.02)
        assert drawn.frame["crp"].isna().mean() == pytest.approx(records.frame["crp"].isna().mean(), abs=0.02)

    def test_noise_is_shrunk_and_more_so_for_fewer_patients(self):
        records, schema = linked(200)
        table = records.to_dataset(schema)
        own, raw = (GaussianCopulaSampler(share).fit(table, schema) for share in (None, 0.0))
        few = GaussianCopulaSampler().fit(table, schema, np.arange(200) // 2)

        total = [np.abs(one.correlation_).sum() for one in (raw, own, few)]
        assert total[0] > total[1] > total[2]

    def test_more_latents_than_rows(self):
        records, schema = linked(60)
        records.latents = np.random.default_rng(0).normal(size=(len(records), 200)).astype(np.float32)
        sampler = GaussianCopulaSampler().fit(records.to_dataset(schema), schema)

        assert np.linalg.eigvalsh(sampler.correlation_).min() > 0
        assert np.allclose(np.diag(sampler.correlation_), 1)
        assert np.isfinite(sampled(sampler, 100).latents).all()

    def test_rare_conditions_are_met(self, learned):
        _, sampler = learned
        conditions = {"died": True, "ward": "a", "crp": (0.9, 1.2)}
        frame = rows(sampler.sample(20, 0, conditions), sampler.schema_)

        assert frame["died"].all() and (frame["ward"] == "a").all() and frame["crp"].between(0.9, 1.2).all()

    def test_conditions_that_never_meet_end_in_the_name_of_the_rarest(self, learned, monkeypatch):
        monkeypatch.setattr("hf_hybrid.samplers.base.MAX_DRAWS_A_BLOCK", 3)
        _, sampler = learned
        with pytest.raises(
            InputError, match="too rare, `crp` most of all: widen a range or drop a condition"
        ) as error:
            sampler.sample(5, 0, {"died": True, "crp": 3.141})
        assert "patients" not in str(error.value)

    @pytest.mark.parametrize("share", [-0.1, 1.5])
    def test_a_share_that_is_none_is_refused(self, share):
        with pytest.raises(InputError, match="expected `shrinkage` from 0 to 1"):
            GaussianCopulaSampler(shrinkage=share)


class TestIndependentSampler(SamplerContract):
    def sampler(self):
        return IndependentSampler()

    def test_rows_keep_their_relations_and_latents_tell_nothing_of_them(self):
        records, schema = linked(4000)
        drawn = relations(sampled(IndependentSampler().fit(records.to_dataset(schema), schema)))

        assert max(abs(drawn[name]) for name in ("died", "crp", "ward")) < 0.04
        assert drawn["crp and died"] == pytest.approx(relations(records)["crp and died"], abs=0.05)
