"""Studies that run many evaluations or ask people: the benchmark of samplers, the reader study.

Floor 6: imports the floors below. Offers `benchmark` and `reader_study`.
"""
