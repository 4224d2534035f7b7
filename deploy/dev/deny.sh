#!/usr/bin/env bash
# Checks licences, bans and sources with cargo-deny, which it installs once into target/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=0.20.2
tools=${URBAN_NEURON_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/urban-neuron/tools}
if ! "$tools/bin/cargo-deny" --version 2>/dev/null | grep -q "$version"; then
  cargo install --quiet --locked --root "$tools" --version "$version" --no-default-features cargo-deny
fi
"$tools/bin/cargo-deny" --offline --log-level error check --hide-inclusion-graph licenses bans sources
