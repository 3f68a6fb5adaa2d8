#!/usr/bin/env bash
# Installs, with apt alone, what building and testing Cairn needs on Debian 12.
set -euo pipefail

build_packages=(
  clang-19 lld-19 libclang-rt-19-dev llvm-19 clang-format-19 clang-tidy-19
  mold ccache cmake ninja-build git pkg-config
  libboost1.81-dev liburing-dev librocksdb-dev libprotobuf-dev protobuf-compiler
  libgoogle-perftools-dev libisal-dev libssl-dev libcli11-dev libtoml11-dev nlohmann-json3-dev libspdlog-dev libfmt-dev
  libgtest-dev libgmock-dev libbenchmark-dev zlib1g-dev libgrpc++-dev protobuf-compiler-grpc
)
test_packages=(
  fio qemu-utils libnbd-bin nbdkit nbdkit-plugin-dev nbdfuse fuse3 e2fsprogs
  python3 jq iproute2 nftables procps util-linux chromium etcd-server openssl
  prometheus
)

missing=()
for package in "${build_packages[@]}" "${test_packages[@]}"; do
  state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [ "$state" = "install ok installed" ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: everything is installed"
  exit 0
fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup: run as root, or install sudo" >&2; exit 1; }
  sudo=(sudo)
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# etcd and Prometheus are here to be run by tests: their packages shall not start services.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${sudo[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
  "${sudo[@]}" chmod 755 "$policy"
fi
"${sudo[@]}" apt-get update -q
"${sudo[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"
