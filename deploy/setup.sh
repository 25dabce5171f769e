#!/usr/bin/env bash
# Installs what building Meridian needs on Debian or Ubuntu, and says so. Safe to run again.
set -euo pipefail

need=()
command -v c++ >/dev/null || need+=(g++)
command -v make >/dev/null || need+=(make)
# RocksDB's bindings are generated with libclang and clang's own headers, which are two packages.
{ compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || true; } | grep -v cpp >/dev/null \
  && compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null \
  || need+=(libclang-dev)

# Tests on real processes give each a network of its own, and wrong clocks.
command -v unshare >/dev/null || need+=(util-linux)
command -v ip >/dev/null || [ -x /usr/sbin/ip ] || need+=(iproute2)
command -v iptables >/dev/null || [ -x /usr/sbin/iptables ] || need+=(iptables)
compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || need+=(libfaketime)

if [ ${#need[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      echo "setup: neither root nor sudo; as root, run: apt-get install -y ${need[*]}" >&2
      exit 1
    }
    as_root=(sudo)
  fi
  command -v apt-get >/dev/null || {
    echo "setup: no apt-get here; install what these Debian packages hold: ${need[*]}" >&2
    exit 1
  }
  echo "setup: installing Debian packages: ${need[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${need[@]}" >/dev/null
fi

command -v cargo >/dev/null || {
  echo "setup: no Rust toolchain found; install the version named in rust-toolchain.toml first" >&2
  exit 1
}
