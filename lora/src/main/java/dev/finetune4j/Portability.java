package dev.finetune4j;

import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.export.gguf.GgufAdapterWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * What of an adapter would not carry over to other programs that load adapters. Whatever does not can be merged: {@link
 * Adapter#export} writes a whole model, which all of them load. Immutable.
 *
 * @param differences none for an adapter that computes the same everywhere
 */
public record Portability(List<Difference> differences) {
    /** The rank up to which vLLM takes adapters without being told. */
    private static final int VLLM_USUAL_RANK = 16;

    private static final int VLLM_LARGEST_RANK = 512;

    private static final Pattern EXPERT = Pattern.compile("\\.experts\\.\\d+\\.");
    private static final Pattern DENSE = Pattern.compile("\\.mlp\\.(?:gate|up|down)_proj\\.");

    /** Programs that load adapters. */
    public enum Program {
        /** The folder of {@link Adapter#save} in Python, by PEFT. */
        PEFT,
        /** The same folder as {@code --lora-modules} of vLLM. */
        VLLM,
        /** The file of {@link Adapter#saveGguf} as {@code --lora} of llama.cpp. */
        LLAMA_CPP
    }

    /**
     * Something that does not carry over.
     *
     * @param program where
     * @param what it is, and what to do if anything but merging helps
     */
    public record Difference(Program program, String what) {}

    public Portability {
        differences = List.copyOf(differences);
    }

    /** Whether the adapter computes the same there. */
    public boolean isPortableTo(Program program) {
        return differences.stream().noneMatch(difference -> difference.program() == program);
    }

    static Portability of(PeftAdapter adapter, PretrainedFolder base) {
        List<Difference> found = new ArrayList<>();
        peft(adapter, base).forEach(what -> found.add(new Difference(Program.PEFT, what)));
        vllm(adapter).forEach(what -> found.add(new Difference(Program.VLLM, what)));
        GgufAdapterWriter.differences(adapter, base)
                .forEach(what -> found.add(new Difference(Program.LLAMA_CPP, what)));
        return new Portability(found);
    }

    /**
     * With transformers 5 the experts of a layer are parameters. PEFT makes factors of them from those of single experts for the
     * families that it knows, and reads the names of their linears as experts alone then.
     */
    private static List<String> peft(PeftAdapter adapter, PretrainedFolder base) {
        List<String> found = new ArrayList<>();
        String type = base.config().modelType();
        if (type.equals("qwen2_moe") && hasTensor(adapter, EXPERT)) {
            found.add(
                    "factors of single experts, which it passes over with transformers 5: train with targetParameters(\""
                            + "mlp.experts.gate_up_proj\", \"mlp.experts.down_proj\")");
        }
        if (type.equals("qwen3_moe") && hasTensor(adapter, DENSE)) {
            found.add(
                    "factors of the layers without experts, which it passes over with transformers 5: leave gate_proj, up_proj"
                            + " and down_proj out of the targets");
        }
        return found;
    }

    private static boolean hasTensor(PeftAdapter adapter, Pattern name) {
        try (TensorScope scope = new TensorScope()) {
            return adapter.stored().keySet().stream()
                    .anyMatch(key -> name.matcher(key).find());
        }
    }

    /** PEFT's own keys are all that vLLM reads, and of them only these: r, lora_alpha, target_modules, use_rslora. */
    private static List<String> vllm(PeftAdapter adapter) {
        List<String> found = new ArrayList<>();
        if (!(adapter.settings() instanceof LoraSettings lora)) {
            found.add("vLLM loads LoRA only, and this is another kind of adapter");
            return found;
        }
        if (lora.useDora()) {
            found.add("DoRA's magnitudes, which it refuses");
        }
        if (!lora.modulesToSave().isEmpty()) {
            found.add("modules that were trained whole (" + String.join(", ", lora.modulesToSave())
                    + "), which it refuses");
        }
        if (lora.loraBias() || lora.bias() != BiasTraining.NONE) {
            found.add("trained biases, which it does not add");
        }
        if (!lora.trainableTokenIndices().isEmpty()) {
            found.add("rows of tokens that were trained themselves, which it does not read");
        }
        if (!lora.alphaPattern().isEmpty() || !lora.rankPattern().isEmpty()) {
            found.add("other ranks or alphas for some modules: it scales all modules by one alpha and rank");
        }
        long rank = largestRank(adapter);
        if (rank > VLLM_LARGEST_RANK) {
            found.add("the rank " + rank + ": " + VLLM_LARGEST_RANK + " is the most that it takes");
        } else if (rank > VLLM_USUAL_RANK) {
            found.add("the rank " + rank + ", unless it is started with --max-lora-rank "
                    + Math.max(32, nextPower(rank)));
        }
        return found;
    }

    private static long nextPower(long rank) {
        return rank <= 1 ? 1 : Long.highestOneBit(rank - 1) * 2;
    }

    /** Columns of the factors as they are in the file. */
    private static long largestRank(PeftAdapter adapter) {
        try (TensorScope scope = new TensorScope()) {
            return adapter.stored().entrySet().stream()
                    .filter(entry -> entry.getKey().contains(".lora_A.")
                            || entry.getKey().contains(".lora_embedding_A"))
                    .mapToLong(entry -> entry.getValue().size(0))
                    .max()
                    .orElse(0);
        }
    }

    /** One line for each program, such as for a log. */
    @Override
    public String toString() {
        List<String> lines = new ArrayList<>();
        for (Program program : Program.values()) {
            String what = differences.stream()
                    .filter(difference -> difference.program() == program)
                    .map(Difference::what)
                    .collect(Collectors.joining("; "));
            lines.add(program + ": " + (what.isEmpty() ? "computes the same" : "would not carry over: " + what));
        }
        return String.join("\n", lines);
    }
}
