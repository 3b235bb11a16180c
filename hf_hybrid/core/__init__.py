"""Shared foundations: errors, files, memory, cores, provenance, randomness, artifacts and the typed report.

Floor 0: imports nothing of this package. Offers `errors`, `files`, `memory`, `cores` (how many may be used),
`provenance`, `randomness`, `artifacts` (the files of a codec, a pipeline and a release) and `report`, `families`,
`scores` (results of an evaluation).
"""
