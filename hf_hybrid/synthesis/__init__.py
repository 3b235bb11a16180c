"""From records to a release: the latent table, the pipeline (codec + sampler + schema), and the folder to publish.

Floor 4: imports the floors below. Offers `latent_table.LatentTable`, `pipeline.HybridPipeline` and
`release.write_release`.
"""
