package dev.finetune4j.lora.plan.estimate;

import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.inference.TokenBudget;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.lora.adapter.kind.StoredAdapter;
import dev.finetune4j.lora.plan.ServingPlan;
import dev.finetune4j.quant.QuantSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Plans the memory of a model that serves, from the headers of its files. Stateless. */
public final class ServingPlanner {
    private ServingPlanner() {}

    /**
     * The plan.
     *
     * @param quantization form of the weights; null to leave them as they are in the folder
     * @param texts how many are generated at once
     * @param tokens that each of them has at most
     * @param kept for how many tokens of other texts keys and values are kept beside
     * @param adapters folders in PEFT's format
     * @param memory what the device has before anything is loaded
     */
    public static ServingPlan plan(
            PretrainedFolder folder,
            @Nullable QuantSettings quantization,
            Placement placement,
            int texts,
            int tokens,
            long kept,
            List<Path> adapters,
            DeviceMemory memory) {
        ModelConfig config = folder.config();
        long weights = MemoryPlanner.weightBytes(folder, quantization, placement);
        long adapterBytes = 0;
        for (Path adapter : adapters) {
            adapterBytes +=
                    numbers(adapter) * (Float.BYTES + placement.precision().bytes());
        }
        long ofToken = TokenBudget.bytesOfToken(config, placement.precision());
        long cache = (texts * TokenBudget.rounded(tokens) + kept) * ofToken;
        long logits = (long) texts * config.vocabSize() * Float.BYTES;
        long left = memory.free() - weights - adapterBytes - logits - kept * ofToken;
        long room = Math.max(0, (long) (left * TokenBudget.SHARE) / ofToken);
        boolean fits = texts * TokenBudget.rounded(tokens) <= room;
        boolean dense = quantization == null && !folder.files().isFourBit();
        return new ServingPlan(
                placement.device().toString(),
                texts,
                tokens,
                weights,
                adapterBytes,
                cache,
                logits,
                memory,
                fits,
                advice(fits, texts, tokens, room, dense));
    }

    private static String advice(boolean fits, int texts, int tokens, long room, boolean dense) {
        if (fits) {
            return "there is room for " + room + " tokens in all";
        }
        List<String> ways = new ArrayList<>();
        long fewer = room / TokenBudget.rounded(tokens);
        long shorter = Long.highestOneBit(room / texts);
        if (fewer > 0) {
            ways.add("serve at most " + fewer + " texts of that length at once (BatchSettings.maxRunning)");
        }
        if (shorter > 0) {
            ways.add("keep texts to " + shorter + " tokens");
        }
        if (dense) {
            ways.add("keep the base in 4 bits with quantize(QuantSettings.nf4())");
        }
        ways.add("take fewer adapters or a smaller model, or free memory that other programs hold");
        return String.join(", or ", ways);
    }

    private static long numbers(Path adapter) {
        try (SafetensorsFile file = SafetensorsFile.open(adapter.resolve(StoredAdapter.WEIGHTS))) {
            return file.tensors().values().stream()
                    .mapToLong(info -> Arrays.stream(info.shape()).reduce(1, (a, b) -> a * b))
                    .sum();
        }
    }
}
