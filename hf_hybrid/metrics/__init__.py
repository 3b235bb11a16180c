"""Scores: utility, fidelity, pairing and privacy."""
