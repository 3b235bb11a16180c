#!/usr/bin/env bash
# All shipped networks on one data-centre GPU, two trainings at a time: train_builtin.sh PACK OUTPUT_DIR [SHARE of 8 minutes]
set -euo pipefail
pack=$1 output=$2 share=${3:-1}
script="$(dirname "$0")/train_builtin.py"
minutes() { python3 -c "print($1 * $share)"; }
mkdir -p "$output"
python3 "$script" --pack "$pack" --output_dir "$output" features-0="$(minutes .6)" features-1="$(minutes .6)" \
  refiner-256-flow="$(minutes 2.2)" refiner-256-distillation="$(minutes 1.6)" refiner-256-adversary="$(minutes 2)" \
  >"$output/features_and_256.txt" 2>&1 &
python3 "$script" --pack "$pack" --output_dir "$output" core="$(minutes 1.3)" refiner-128-flow="$(minutes 2.6)" \
  refiner-128-distillation="$(minutes 1.6)" refiner-128-adversary="$(minutes 2)" >"$output/core_and_128.txt" 2>&1 || failed=1
wait $! || failed=1
exit "${failed:-0}"
