#!/usr/bin/env bash
# Runs the JMH benchmarks briefly and writes their tables into README.md. Needs a JDK, and what mvn package made of this module.
#
#   benchmarks/run.sh                    all groups, some minutes
#   benchmarks/run.sh linear decode      these groups; the tables also show what earlier runs left in target/results
#   OPTIONS="-i 5 -r 2" benchmarks/run.sh linear      with further options of JMH, for surer figures
#
# The groups are quantization linear linear-wide linear-fp32 lora attention loss step decode text, and by name only
# step-6b and decode-6b, which take minutes and 12 GiB each. A C compiler, if there is one, measures the machine's limits.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

jar=target/benchmarks.jar
results=target/results
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
if [[ ! -f $jar ]]; then
    echo "there is no $jar; run mvn package -DskipTests in the checkout's root first" >&2
    exit 1
fi
mkdir -p "$results"

load() {
    uptime | sed -E 's/.*load averages?: *([0-9.]+).*/\1/'
}

processors() {
    getconf _NPROCESSORS_ONLN
}

describe() {
    local model
    if [[ -r /proc/cpuinfo ]]; then
        model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    else
        model=$(sysctl -n machdep.cpu.brand_string 2> /dev/null || uname -m)
    fi
    local version
    version=$("$java" -version 2>&1 | sed -n '1s/.*"\(.*\)".*/\1/p')
    echo "description=$model, $(processors) processors, $(uname -s), JDK $version, commit $(git rev-parse --short HEAD), $(date -u +%F)"
}

limits() {
    local compiler
    for compiler in "${CC:-cc}" gcc clang; do
        if command -v "$compiler" > /dev/null && "$compiler" -O3 -march=native -pthread limits.c -o target/limits; then
            target/limits "$(processors)" > "$results/limits.properties"
            return
        fi
    done
    echo "no C compiler: the tables say nothing of limits"
}

# measure NAME PATTERN [OPTIONS OF JMH]
measure() {
    local name=$1 before
    shift
    before=$(load)
    # Not in quotes: several options.
    # shellcheck disable=SC2086
    "$java" -jar "$jar" "$@" -f 1 -foe true -prof gc -rf json -rff "$results/$name.json.part" ${OPTIONS:-} \
        > "$results/$name.log" 2>&1 || { tail -n 40 "$results/$name.log" >&2; return 1; }
    mv "$results/$name.json.part" "$results/$name.json"
    printf 'load.start=%s\nload.end=%s\n' "$before" "$(load)" > "$results/$name.properties"
}

group() {
    local short=(-wi 1 -w 500ms -i 3 -r 500ms) long=(-wi 1 -w 1 -i 3 -r 2)
    local memory=(-prof dev.finetune4j.benchmarks.PeakMemoryProfiler)
    echo "$(date -u +%T) $1, load $(load)"
    case $1 in
        quantization)
            measure 01-quantization-memory QuantizationBenchmark "${short[@]}"
            measure 02-quantization-cache 'QuantizationBenchmark.(dequantize|copy)' "${short[@]}" \
                -p shape=512x1024 -p rotation=0 -p type=bf16
            ;;
        linear)
            measure 03-linear '[.]LinearBenchmark.(forward|backward)$' "${short[@]}" -p type=bf16 -p shape=4096x4096
            ;;
        linear-wide)
            measure 04-linear-wide '[.]LinearBenchmark.(forward|backward)$' "${short[@]}" -p type=bf16 -p tokens=1,512 \
                -p shape=11008x4096,4096x11008
            ;;
        linear-fp32)
            measure 05-linear-fp32 '[.]LinearBenchmark.(forward|backward)$' "${short[@]}" -p type=fp32 -p tokens=1,512 \
                -p shape=4096x4096
            ;;
        lora)
            measure 06-lora '(LoraBenchmark|[.]LinearBenchmark).(forward|forwardAndBackward)$' "${short[@]}" -p type=bf16 \
                -p tokens=1,512 -p shape=4096x4096 -p module=self_attn.q_proj
            ;;
        attention)
            measure 07-attention AttentionBenchmark "${short[@]}" -p type=bf16 -p tokens=256
            ;;
        loss)
            measure 08-loss LossBenchmark "${short[@]}" -p type=bf16
            ;;
        step)
            measure 09-step TrainStepBenchmark "${long[@]}" "${memory[@]}" -p type=bf16
            ;;
        decode)
            measure 10-decode DecodeBenchmark "${long[@]}" "${memory[@]}" -p type=bf16 -p adapter=false,true
            ;;
        step-6b)
            measure 11-step-6b TrainStepBenchmark -wi 1 -w 1 -i 2 -r 1 "${memory[@]}" -p type=bf16 -p form=nf4 -p preset=6b \
                -p tokens=64 -p checkpointing=full
            ;;
        decode-6b)
            measure 12-decode-6b DecodeBenchmark "${long[@]}" "${memory[@]}" -p type=bf16 -p form=nf4 -p preset=6b
            ;;
        text)
            measure 13-text TextBenchmark "${short[@]}"
            ;;
        *)
            echo "there is no group $1; see the head of this script" >&2
            return 2
            ;;
    esac
}

describe > "$results/machine.properties"
limits
# A run of all groups begins anew.
(($#)) || rm -f "$results"/*.json
for name in "${@:-}"; do
    if [[ -z $name ]]; then
        for all in quantization linear linear-wide linear-fp32 lora attention loss step decode text; do
            group "$all"
        done
    else
        group "$name"
    fi
done
"$java" -jar "$jar" BenchmarkTable --results "$results" --into README.md
echo "$(date -u +%T) the tables are in benchmarks/README.md, load $(load)"
