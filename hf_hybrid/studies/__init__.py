"""Studies that run many evaluations or ask people: the benchmark of samplers, the reader study, the study of a codec.

Floor 6: imports the floors below. Offers `benchmark`, `reader_study` and `codec_study` (with `codec_parts`,
`codec_quality` and `codec_attacks`).
"""
