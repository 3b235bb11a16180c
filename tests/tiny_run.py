"""The options of a run with tiny budgets."""

TINY = {
    "cohort": {"num_records": 120, "resolution": 32},
    "public_cohort": {"num_records": 40, "resolution": 32, "seed": 1},
    "codec": {
        "resolution": 32,
        "latent_dim": 6,
        "base_channels": 4,
        "max_channels": 8,
        "max_train_steps": 6,
        "train_batch_size": 4,
        "validation_steps": 3,
        "checkpointing_steps": 2,
    },
    "sampler": {
        "sampler": "ctgan",
        "ctgan": {
            "max_train_steps": 6,
            "batch_size": 32,
            "pac": 2,
            "validation_share": 0.0,
            "embedding_dim": 8,
            "generator_dim": [16],
            "discriminator_dim": [16],
        },
    },
    "release": {"multiple": 2, "license": "apache-2.0"},
    "evaluation": {"parts": ["utility"], "seeds": 1, "bootstraps": 20},
}
