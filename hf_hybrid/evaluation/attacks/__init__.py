"""Attacks on a release, one file per attack, with the contract of `base.Attack`.

Floor 5: imports the floors below, and of `evaluation` only `comparison`, `options` and `training_patients`. Offers
`registry.ATTACKS`, `base.Attack` and `spaces.AttackSpaces`. A new attack is a file with its class, its facts on the
class, and a line in `registry.ATTACKS`.
"""
