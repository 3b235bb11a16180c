#!/usr/bin/env bash
# All shipped networks on one data-centre GPU: train_builtin.sh PUBLIC_PACK PHANTOM_PACK OUTPUT_DIR [SHARE of 8 minutes]
set -euo pipefail
public=$1 phantoms=$2 output=$3 share=${4:-1}
script="$(dirname "$0")/train_builtin.py" state="$(dirname "$0")/states/refiner_128.safetensors"
minutes() { python3 -c "print($1 * $share)"; }
mkdir -p "$output"
python3 "$script" --pack "$phantoms" --output_dir "$output/phantoms" core-0.003="$(minutes 1)" choose \
  refiner-128-flow="$(minutes 3)" refiner-128-distillation="$(minutes 2)" >"$output/phantoms.txt" 2>&1 &
for weight in 0.002 0.003 0.005; do
  python3 "$script" --pack "$public" --output_dir "$output" core-$weight="$(minutes 1.5)" >"$output/core-$weight.txt" 2>&1 &
done
wait $(jobs -p | tail -n 3)
python3 "$script" --pack "$public" --output_dir "$output" --start "$state" choose refiner-128-flow="$(minutes 3)" \
  refiner-128-distillation="$(minutes 1.5)" >"$output/radiographs.txt" 2>&1 || failed=1
wait || failed=1
exit "${failed:-0}"
