#!/usr/bin/env bash
# Runs every command of docs/tutorial.md in an empty folder and prints each before what it prints:
#   docs/tutorial.sh > docs/tutorial-transcript.txt
# JAR is finetune4j.jar of step 1 of the page, or any class path that has the command line.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
JAR=${JAR:-$root/examples/target/finetune4j.jar}
page=${1:-$root/docs/tutorial.md}

shopt -s expand_aliases
alias finetune4j='java -cp "$JAR" dev.finetune4j.examples.cli.Finetune4j'

folder=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
start=$SECONDS
while IFS= read -r command <&3; do
    printf '$ %s\n' "$command"
    eval "$command" 2>&1 3<&-
    printf '\n'
done 3< <(awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$page")
printf '%d commands took %d s\n' "$(awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on { n++ } END { print n }' "$page")" $((SECONDS - start))
