#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs each fuzz target over its seeds. A target without seeds, or a seed directory without target, is a failure.
set -u
status=0
for seeds in "$srcdir"/test/fuzz/corpus/*/; do
    name=$(basename "$seeds")
    if ! output=$(test/fuzz/replay_"$name" "$seeds" 2>&1); then
        echo "$name: $output"
        status=1
    else
        echo "$name: $output"
    fi
done
for source in "$srcdir"/test/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    test -d "$srcdir/test/fuzz/corpus/$name" || { echo "$name: no seeds in test/fuzz/corpus/$name"; status=1; }
done
exit $status
