package dev.finetune4j.benchmarks;

import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.quant.QuantSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Loads a checkpoint in 4 bits and lets it answer the same question three times, each in a chat of its own. */
final class RealAnswers {
    private static final int ROUNDS = 3;
    private static final int TOKENS = 200;
    private static final String QUESTION =
            "Tell me a long story about a river, a mountain and a fisherman who lost his way.";

    private RealAnswers() {}

    static List<Map<String, Object>> measure(Path folder, ComputeDevice device, String template) {
        List<Map<String, Object>> lines = new ArrayList<>();
        GenerationSettings settings =
                GenerationSettings.greedy().toBuilder().maxNewTokens(TOKENS).build();
        long start = System.nanoTime();
        try (LanguageModel model = LanguageModel.loader(folder)
                .device(device)
                .quantize(QuantSettings.nf4())
                .chatTemplate(template)
                .load()) {
            lines.add(Map.of("s_load", RealCells.rounded((System.nanoTime() - start) / 1e9)));
            for (int round = 1; round <= ROUNDS; round++) {
                lines.add(answer(model, settings, round));
            }
        }
        return lines;
    }

    private static Map<String, Object> answer(LanguageModel model, GenerationSettings settings, int round) {
        long[] first = {0};
        long start = System.nanoTime();
        try (ChatSession chat = model.chat(settings)) {
            Reply reply = chat.stream(QUESTION, piece -> first[0] = first[0] == 0 ? System.nanoTime() : first[0]);
            double seconds = (System.nanoTime() - start) / 1e9;
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("answer", round);
            line.put("tokens", reply.usage().completionTokens());
            line.put("s_answer", RealCells.rounded(seconds));
            line.put("ms_first_piece", Math.round((first[0] - start) / 1e6));
            line.put("tokens_per_s", Math.round(reply.usage().completionTokens() / seconds));
            return line;
        }
    }
}
