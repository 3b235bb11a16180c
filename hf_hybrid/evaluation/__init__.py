"""The evidence about a release or a model: utility, fidelity, pairing, privacy; inspection of private records.

Floor 5: imports the floors below. Offers `release_evaluation.evaluate_release`, `model_evaluation.evaluate_model`,
`inspection` and `publication` (what completes a release).
"""
