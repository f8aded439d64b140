#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the pack again: fetches the drawings, builds the data, trains all networks with limn and nothing else.
#
#     sh train.sh [FOLDER]        everything goes to FOLDER (default: ./work)
#
# LIMN names the program (default: limn). Run it again after it was stopped: it goes on where it was.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
limn=${LIMN:-limn}
mkdir -p "${1:-work}"
cd "${1:-work}"

train() { # kind, result, data, further arguments of a beginning
    kind=$1 out=$2 data=$3
    shift 3
    if [ -e "${out%.safetensors}.state.safetensors" ]; then set -- --resume; fi
    "$limn" train "$kind" --data "$data" --out "$out" "$@"
}

[ -d npm ] || { sh "$here/fetch.sh" npm.part && mv npm.part npm; }
[ -e small/metadata.jsonl ] || python3 "$here/build_data.py" npm small
[ -e whole/held-out/metadata.jsonl ] || python3 "$here/build_set.py" npm whole

train vae vae.safetensors small --config "$here/vae.json"
train diffusion emoji.safetensors small --config small/diffusion.json --vae vae.safetensors
train clip clip.safetensors whole/train --config "$here/clip.json"
"$limn" score --retrieval whole/held-out --model clip.safetensors
train gan gan.safetensors small --config small/gan.json --init clip.safetensors
