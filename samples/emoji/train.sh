#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the pack again: fetches the drawings, builds the data, trains all networks with limn and nothing else.
#
#     sh train.sh [FOLDER]        everything goes to FOLDER (default: ./work)
#
# LIMN names the program (default: limn). Run it again after it was stopped: it goes on where it was.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
limn=$(command -v "${LIMN:-limn}") || { echo "train.sh: there is no program '${LIMN:-limn}'; LIMN names it" >&2; exit 1; }
case $limn in /*) ;; *) limn=$PWD/$limn ;; esac # the folder is left
mkdir -p "${1:-work}"
cd "${1:-work}"

# What was stopped half-way has another name and is made anew.
make_folder() { # result, command that makes what its last argument names
    result=$1
    shift
    if [ -d "$result" ]; then return; fi
    rm -rf "$result.part"
    "$@" "$result.part"
    mv "$result.part" "$result"
}

# A network that is finished is left as it is: what others have learnt depends on each of its bits.
train() { # kind, result, data, further arguments of a beginning
    kind=$1 out=$2 data=$3
    shift 3
    if [ -e "$out.done" ]; then return; fi
    if [ -e "${out%.safetensors}.state.safetensors" ]; then set -- --resume; fi
    "$limn" train "$kind" --data "$data" --out "$out" "$@"
    : > "$out.done"
}

make_folder npm sh "$here/fetch.sh"
make_folder small python3 "$here/build_data.py" npm
make_folder whole python3 "$here/build_set.py" npm

train vae vae.safetensors small --config "$here/vae.json"
train diffusion emoji.safetensors small --config small/diffusion.json --vae vae.safetensors
train clip clip.safetensors whole/train --config "$here/clip.json"
"$limn" score --retrieval whole/held-out --model clip.safetensors
train gan gan.safetensors small --config small/gan.json --init emoji.safetensors
