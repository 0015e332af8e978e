package dev.finetune4j.examples.server;

import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.Usage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * What is counted and measured of answers, under the names and with the meanings of <a
 * href="https://docs.vllm.ai/en/latest/design/metrics.html">vLLM</a>: each answer is a request there. Thread-safe.
 *
 * <p>A text that waits for its turn in the batch is told from one that is in it by their number alone: those beyond the size of the batch wait.
 */
final class Metrics {
    private static final double[] SECONDS_TO_FIRST = {
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160
    };
    private static final double[] SECONDS_BETWEEN = {
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10
    };
    private static final double[] SECONDS = {
        0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960
    };
    private static final double[] TOKENS = {
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000
    };

    private final String modelName;
    private final int batchSize;
    private final Admission admission;
    private final LongAdder promptTokens = new LongAdder();
    private final LongAdder cachedTokens = new LongAdder();
    private final LongAdder generatedTokens = new LongAdder();
    private final Map<String, AtomicLong> finished = new ConcurrentSkipListMap<>();
    private final Map<String, AtomicLong> responses = new ConcurrentSkipListMap<>();
    private final Map<String, AtomicLong> running = new ConcurrentSkipListMap<>();
    private final Histogram toFirst = new Histogram(SECONDS_TO_FIRST);
    private final Histogram between = new Histogram(SECONDS_BETWEEN);
    private final Histogram ofToken = new Histogram(SECONDS_BETWEEN);
    private final Histogram whole = new Histogram(SECONDS);
    private final Histogram prompts = new Histogram(TOKENS);
    private final Histogram generations = new Histogram(TOKENS);
    private final Histogram maxTokens = new Histogram(TOKENS);
    private final Histogram choices = new Histogram(1, 2, 5, 10, 20);

    /** @param batchSize how many texts are generated at once */
    Metrics(String modelName, int batchSize, Admission admission) {
        this.modelName = modelName;
        this.batchSize = batchSize;
        this.admission = admission;
    }

    /** Notes that an answer is asked for. */
    Measured begin(Asked asked, ChatRequest request) {
        return new Measured(request, asked.choices());
    }

    /** Notes the status of a response. */
    void responded(int status) {
        count(responses, String.valueOf(status));
    }

    private static void count(Map<String, AtomicLong> counts, String name) {
        counts.computeIfAbsent(name, n -> new AtomicLong()).incrementAndGet();
    }

    /** One answer. Its pieces come from one thread at a time. */
    final class Measured {
        private final ChatRequest request;
        private final int choicesOfPrompt;
        private final String adapter;
        private final long begin = System.nanoTime();
        private volatile long first;
        private volatile long last;

        private Measured(ChatRequest request, int choicesOfPrompt) {
            this.request = request;
            this.choicesOfPrompt = choicesOfPrompt;
            this.adapter = request.adapter() == null ? "" : request.adapter();
            if (!adapter.isEmpty()) {
                count(running, adapter);
            }
        }

        void piece(ReplyDelta delta) {
            long now = System.nanoTime();
            if (first == 0) {
                first = now;
                toFirst.observe(seconds(begin, now));
            } else if (!Answers.isEmpty(delta)) {
                between.observe(seconds(last, now));
            }
            last = now;
        }

        /** @param reply null when it has failed */
        void end(@Nullable Reply reply) {
            if (!adapter.isEmpty()) {
                running.computeIfPresent(adapter, (n, count) -> count.decrementAndGet() == 0 ? null : count);
            }
            count(finished, reply == null ? "error" : Answers.reason(reply.finishReason()));
            if (reply == null) {
                return;
            }
            Usage usage = reply.usage();
            promptTokens.add(usage.promptTokens());
            cachedTokens.add(usage.cachedTokens());
            generatedTokens.add(usage.completionTokens());
            prompts.observe(usage.promptTokens());
            generations.observe(usage.completionTokens());
            maxTokens.observe(request.settings().maxNewTokens());
            choices.observe(choicesOfPrompt);
            whole.observe(seconds(begin, System.nanoTime()));
            if (usage.completionTokens() > 1 && first != 0) {
                ofToken.observe(seconds(first, last) / (usage.completionTokens() - 1));
            }
        }

        private double seconds(long from, long to) {
            return (to - from) / 1e9;
        }
    }

    /** All of it in Prometheus' text form. */
    String text() {
        StringBuilder out = new StringBuilder();
        String labels = "model_name=\"" + escaped(modelName) + "\"";
        int inside = admission.inside();
        gauge(out, "vllm:num_requests_running", labels, "Requests in the batch.", Math.min(inside, batchSize));
        gauge(out, "vllm:num_requests_waiting", labels, "Requests that wait.", Math.max(0, inside - batchSize));
        String adapters = running.keySet().stream().map(Metrics::escaped).collect(Collectors.joining(","));
        gauge(
                out,
                "vllm:lora_requests_info",
                "running_lora_adapters=\"" + adapters + "\",waiting_lora_adapters=\"\",max_lora=\"" + batchSize + "\"",
                "Adapters with requests in progress; the value is the time.",
                System.currentTimeMillis() / 1000.0);
        counter(out, "vllm:prompt_tokens", labels, "Tokens of prompts.", promptTokens.sum());
        counter(out, "vllm:generation_tokens", labels, "Tokens generated.", generatedTokens.sum());
        counter(out, "vllm:prefix_cache_queries", labels, "Tokens looked up in the prefix cache.", promptTokens.sum());
        counter(out, "vllm:prefix_cache_hits", labels, "Tokens found there.", cachedTokens.sum());
        counters(
                out,
                "vllm:request_success",
                labels + ",finished_reason",
                "Requests that have ended, by reason.",
                finished);
        counters(out, "http_requests", "status", "Responses by status.", responses);
        Map<String, Histogram> histograms = new TreeMap<>(Map.of(
                "vllm:time_to_first_token_seconds", toFirst,
                "vllm:inter_token_latency_seconds", between,
                "vllm:request_time_per_output_token_seconds", ofToken,
                "vllm:e2e_request_latency_seconds", whole,
                "vllm:request_prompt_tokens", prompts,
                "vllm:request_generation_tokens", generations,
                "vllm:request_params_max_tokens", maxTokens,
                "vllm:request_params_n", choices));
        histograms.forEach((name, histogram) -> {
            out.append("# HELP ")
                    .append(name)
                    .append(" Histogram of ")
                    .append(name.substring(5))
                    .append(".\n");
            out.append("# TYPE ").append(name).append(" histogram\n");
            histogram.write(out, name, labels);
        });
        residentBytes(out);
        return out.toString();
    }

    private static void residentBytes(StringBuilder out) {
        try {
            List<String> pages =
                    List.of(Files.readString(Path.of("/proc/self/statm")).split(" ", -1));
            double bytes = Long.parseLong(pages.get(1)) * 4096.0;
            head(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
            out.append("process_resident_memory_bytes ").append(bytes).append('\n');
        } catch (IOException e) {
            // Only Linux tells it so.
            return;
        }
    }

    private static void head(StringBuilder out, String name, String type, String help) {
        out.append("# HELP ").append(name).append(' ').append(help).append('\n');
        out.append("# TYPE ").append(name).append(' ').append(type).append('\n');
    }

    private static void gauge(StringBuilder out, String name, String labels, String help, double value) {
        head(out, name, "gauge", help);
        out.append(name).append('{').append(labels).append("} ").append(value).append('\n');
    }

    private static void counter(StringBuilder out, String name, String labels, String help, long value) {
        head(out, name + "_total", "counter", help);
        out.append(name)
                .append("_total{")
                .append(labels)
                .append("} ")
                .append((double) value)
                .append('\n');
    }

    private static void counters(
            StringBuilder out, String name, String label, String help, Map<String, AtomicLong> values) {
        head(out, name + "_total", "counter", help);
        values.forEach((value, count) -> out.append(name)
                .append("_total{")
                .append(label)
                .append("=\"")
                .append(escaped(value))
                .append("\"} ")
                .append(count.doubleValue())
                .append('\n'));
    }

    private static String escaped(String label) {
        return label.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
    }
}
