#!/usr/bin/env bash
# Installs what building Meridian needs on Debian or Ubuntu, and says so. Safe to run again.
set -euo pipefail

need=()
command -v c++ >/dev/null || need+=(g++)
command -v make >/dev/null || need+=(make)
# RocksDB's bindings are generated with libclang and its own headers.
compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' | grep -v cpp >/dev/null || need+=(libclang-dev)

if [ ${#need[@]} -gt 0 ]; then
  echo "setup: installing Debian packages: ${need[*]}"
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "${need[@]}" >/dev/null
fi

command -v cargo >/dev/null || {
  echo "setup: no Rust toolchain found; install the version named in rust-toolchain.toml first" >&2
  exit 1
}
