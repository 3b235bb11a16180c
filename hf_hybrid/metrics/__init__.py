"""Pure numbers: arrays and tables in, scores with intervals out; nothing here trains or loads a network.

Floor 2: imports `core` and `data`. Offers `estimates.Estimate` (an interval over patients), the scores of predictions,
tables, images, pairing and attacks, and `utility` (the same as `evaluate.Metric`s).
"""
