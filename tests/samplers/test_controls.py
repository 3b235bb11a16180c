"""The contract of samplers for the controls that hold training rows, and that they do hold them."""

import numpy as np
import pytest
from sampler_contract import SamplerContract, rows

from hf_hybrid.core.errors import InputError
from hf_hybrid.samplers.controls import BootstrapSampler, SmoteSampler
from hf_hybrid.samplers.rows import LatentRows


class TestBootstrapSampler(SamplerContract):
    holds_training_records = True

    def sampler(self):
        return BootstrapSampler()

    def test_every_record_is_a_training_record(self, fitted, table):
        real = {repr(record) for record in table.dataset.to_list()}

        assert {repr(record) for record in fitted.sample(200, seed=0).to_list()} <= real


class TestSmoteSampler(SamplerContract):
    holds_training_records = True

    def sampler(self):
        return SmoteSampler()

    def test_records_lie_between_two_of_different_patients(self, fitted, table):
        sample = LatentRows.from_dataset(fitted.sample(50, seed=0), table.schema)
        real = LatentRows.from_dataset(table.dataset, table.schema).latents.astype(np.float64)
        patients = fitted.patients_
        for latents in sample.latents:
            offsets = real - latents
            lengths = np.linalg.norm(offsets, axis=1)
            opposite = offsets @ offsets.T <= -0.999 * np.outer(lengths, lengths)
            opposite |= lengths[:, None] + lengths < 1e-4
            first, second = np.nonzero(opposite | (lengths[:, None] < 1e-4))
            assert (patients[first] != patients[second]).any()

    def test_no_neighbour_is_of_the_same_patient(self, table):
        few = table.dataset.select(range(40))
        groups = np.arange(40) // 4
        sampler = SmoteSampler().fit(few, table.schema, groups)

        assert all(len(near) == 5 for near in sampler.neighbours_)
        assert all((groups[near] != own).all() for near, own in zip(sampler.neighbours_, groups, strict=True))

    def test_a_number_without_a_value_beside_it_is_not_interpolated(self, fitted, table):
        crp = rows(fitted.sample(500, seed=0), table.schema)["crp"]

        assert crp.isna().any() and np.isinf(crp).any() and crp[np.isfinite(crp)].between(0, 1e6).all()

    def test_no_neighbours_are_refused(self):
        with pytest.raises(InputError, match="expected `num_neighbours` of at least 1, found 0"):
            SmoteSampler(num_neighbours=0)
