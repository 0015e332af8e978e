#!/usr/bin/env bash
# Builds kernel_check.cpp with the address and undefined-behaviour sanitizers and runs it on every level of the processor.
# Needs g++ or clang++ (CXX names another). Takes about a minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

compiler=${CXX:-}
for candidate in g++ clang++; do
    if [[ -z $compiler ]] && command -v "$candidate" > /dev/null; then
        compiler=$candidate
    fi
done
if [[ -z $compiler ]]; then
    echo "no C++ compiler; install g++ or clang++, or name one in CXX" >&2
    exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
openmp=()
if echo 'int main() {}' | "$compiler" -x c++ -fopenmp - -o "$folder/probe" 2> /dev/null; then
    openmp=(-fopenmp)
fi
"$compiler" -std=c++17 -O1 -g -fno-omit-frame-pointer -ffp-contract=off -Wno-uninitialized ${openmp[@]+"${openmp[@]}"} \
    -fsanitize=address,undefined -fno-sanitize-recover=all -I ../../main/native kernel_check.cpp -o "$folder/check"
"$folder/check"
