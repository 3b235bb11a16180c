"""Attacks on a release, one file per attack, with the contract of `base.Attack`.

A new attack is a file with its class, its facts on the class, and a line in `registry.ATTACKS`.
"""
