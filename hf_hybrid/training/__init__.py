"""What every training loop shares under Accelerate: options, budget, checkpoints, log, averages of weights.

Floor 1: imports `core`. Offers `arguments.TrainingArguments`, `run.TrainingRun`, `prefetch.made_ahead` and
`weights.MovingAverage`.
"""
