#!/bin/sh
# SPDX-License-Identifier: MIT
# Fetches the drawings and their names from the npm registry into DIR
# (default: ./npm) and unpacks each package into its own folder.
set -eu
dir=${1:-npm}
mkdir -p "$dir"
cd "$dir"
for p in \
    @iconify-json/noto@1.2.9 \
    @iconify-json/twemoji@1.2.5 \
    @iconify-json/fluent-emoji-flat@1.2.6 \
    @iconify-json/noto-v1@1.2.5 \
    @iconify-json/fluent-emoji@1.2.7 \
    @iconify-json/emojione@1.2.3 \
    @iconify-json/fxemoji@1.2.2 \
    emojibase-data@17.0.0
do
    tgz=$(npm pack --silent "$p")
    mkdir -p "${tgz%.tgz}"
    tar xzf "$tgz" -C "${tgz%.tgz}"
    rm -f "$tgz"
done
