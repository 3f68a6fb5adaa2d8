#!/usr/bin/env bash
# From nothing to a replicated volume that survives the loss of a chunkserver: installs, builds,
# brings a cluster up, writes and reads through NBD, and kills a chunkserver with -9 meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

./dev setup
./dev build cairn
cairn="$PWD/build/release/src/cli/cairn"
dir="${1:-${CAIRN_DIR:-$HOME/.local/state/cairn/dev}}"

say "bring up a cluster: an MDS and three chunkservers"
"$cairn" dev up --dir "$dir"
uri=$("$cairn" dev status --dir "$dir" --json | jq -r .nbd_uri)

say "write 64 MiB of random data through NBD and read it back"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
head -c 64M /dev/urandom >"$work/in"
nbdcopy "$work/in" "$uri"
read_back() { nbdcopy "$uri" - | head -c 64M >"$1" || true; }
read_back "$work/out"
cmp "$work/in" "$work/out"
echo "what was read is what was written"

say "kill a chunkserver with -9, read again, write more"
victim=$("$cairn" dev status --dir "$dir" --json |
  jq -r '.processes[] | select(.name == "chunkserver-1") | .pid')
kill -9 "$victim"
read_back "$work/out"
cmp "$work/in" "$work/out"
qemu-io -f raw -c 'write -P 0x5a 512M 1M' -c 'read -P 0x5a 512M 1M' "$uri"
echo "nothing was lost, and reads and writes went on"

say "start it again and compare all replicas, block by block"
"$cairn" dev up --dir "$dir" >/dev/null
"$cairn" copyset verify --dir "$dir" --read-data

say "done; the cluster goes on running"
echo "NBD: $uri"
echo "  $cairn status --dir $dir"
echo "  $cairn bench --dir $dir --rw randwrite --depth 32 --seconds 5   (overwrites the volume)"
echo "  $cairn dev down --dir $dir"
