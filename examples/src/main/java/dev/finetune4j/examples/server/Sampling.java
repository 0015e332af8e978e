package dev.finetune4j.examples.server;

import dev.finetune4j.core.generate.GenerationSettings;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;

/** How the answer is generated: OpenAI's fields, and those that vLLM adds. */
final class Sampling {
    private static final int MAX_STOPS = 16;

    private Sampling() {}

    /**
     * Reads the settings.
     *
     * @param maxNewTokens what the request asks for, or the server gives
     */
    static GenerationSettings of(Fields request, int maxNewTokens) {
        int topK =
                Math.toIntExact(request.integer("top_k", -1, Integer.MAX_VALUE).orElse(0L));
        return GenerationSettings.builder()
                .maxNewTokens(maxNewTokens)
                .minNewTokens(Math.toIntExact(
                        request.integer("min_tokens", 0, maxNewTokens).orElse(0L)))
                .temperature(request.number("temperature", 0, 2).orElse(1.0))
                .topP(request.number("top_p", Double.MIN_NORMAL, 1).orElse(1.0))
                .topK(Math.max(0, topK))
                .minP(request.number("min_p", 0, 1).orElse(0.0))
                .repetitionPenalty(
                        request.number("repetition_penalty", 0.01, 100).orElse(1.0))
                .presencePenalty(request.number("presence_penalty", -2, 2).orElse(0.0))
                .frequencyPenalty(request.number("frequency_penalty", -2, 2).orElse(0.0))
                .seed(request.integer("seed", Long.MIN_VALUE, Long.MAX_VALUE)
                        .orElseGet(() -> ThreadLocalRandom.current().nextLong()))
                .stop(request.texts("stop").map(Sampling::stops).orElse(List.of()))
                .logitBias(request.biases("logit_bias", -100, 100).orElse(Map.of()))
                .build();
    }

    private static List<String> stops(List<String> stops) {
        if (stops.size() > MAX_STOPS || stops.contains("")) {
            throw ApiException.invalid("stop", "stop must be at most " + MAX_STOPS + " texts that are not empty");
        }
        return stops;
    }
}
