"""Samplers of the latent table, each with the contract of `base.Sampler`.

Floor 3: imports the floors below. Offers `registry.SAMPLERS`, `registry.load_sampler` and the classes that it names.
`ctgan` is the only module that imports the package of that name.
"""
