#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for so many seconds each (20 unless given), with the stable compiler and libFuzzer.
# Fails on the first input that makes a target panic, hang or eat memory, and says which. The corpus grows in target/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-20}
deploy/dev/need.sh g++
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/fuzz}
host=$(rustc -vV | sed -n 's/^host: //p')
flags=(
  --cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
)
# Naming the target keeps the flags away from build scripts, which have no fuzzer to link.
RUSTFLAGS="${flags[*]}" cargo build --locked --quiet --release --target "$host" --manifest-path fuzz/Cargo.toml
for source in fuzz/fuzz_targets/*.rs; do
  target=$(basename "$source" .rs)
  binary=$CARGO_TARGET_DIR/$host/release/$target
  corpus=$CARGO_TARGET_DIR/corpus/$target
  found=$CARGO_TARGET_DIR/found/$target-
  output=$CARGO_TARGET_DIR/$target.txt
  mkdir -p "$corpus" "$(dirname "$found")"
  echo "fuzz: $target for $seconds s"
  if ! "$binary" "$corpus" "fuzz/seeds/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
    -artifact_prefix="$found" -print_final_stats=1 >"$output" 2>&1; then
    sed -n '/panicked at/,+1p' "$output"
    tail -n 20 "$output"
    input=$(sed -n 's/.*Test unit written to //p' "$output" | tail -n 1)
    echo "fuzz: $target fails on ${input:-an input that was not written}; again: $binary $input" >&2
    exit 1
  fi
  sed -n 's/^stat::number_of_executed_units: */fuzz: executions: /p' "$output"
done
