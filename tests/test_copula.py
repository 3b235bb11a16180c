"""The contract of samplers for the copula and for its control without pairing."""

from sampler_contract import SamplerContract

from hf_hybrid.samplers import GaussianCopulaSampler, IndependentSampler


class TestGaussianCopulaSampler(SamplerContract):
    def sampler(self):
        return GaussianCopulaSampler()


class TestIndependentSampler(SamplerContract):
    def sampler(self):
        return IndependentSampler()
