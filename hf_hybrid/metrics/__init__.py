"""Scores: utility."""
