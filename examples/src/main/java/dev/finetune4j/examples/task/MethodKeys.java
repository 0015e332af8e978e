package dev.finetune4j.examples.task;

import dev.finetune4j.FineTuner;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.FreezeSettings;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a task says of the method: which weights are trained, and in which form the base is kept.
 *
 * @param type lora, freeze or full
 * @param adapter null for full, for an adapter that is trained further, and when it cannot be made
 * @param continued the folder of an adapter that is trained further; null for none
 * @param quantization null for a base as it is in the checkpoint
 * @param loraPlus how many times as fast B learns as A
 */
record MethodKeys(
        String type,
        @Nullable AdapterSettings adapter,
        @Nullable Path continued,
        @Nullable QuantSettings quantization,
        double loraPlus) {
    private static final String FULL = "full";
    private static final String LORA = "lora";
    private static final List<String> OF_ADAPTER = List.of(
            "lora_rank", "lora_alpha", "lora_dropout", "lora_target", "use_rslora", "use_dora", "additional_target");

    static MethodKeys of(TaskFile task) {
        String type = task.text("finetuning_type").orElse(LORA);
        boolean lora = type.equals(LORA);
        Path continued = continued(task, lora);
        if (!lora) {
            Demands.onlyCounts(task, "finetuning_type: lora", "lora_rank", "lora_alpha", "lora_dropout", "lora_target");
            for (String key :
                    List.of("use_rslora", "use_dora", "pissa_init", "loraplus_lr_ratio", "additional_target")) {
                if (task.isChanged(key)) {
                    task.refuse(key, "is of finetuning_type: lora, but that is " + type + "; take it out");
                }
            }
        }
        if (!type.equals("freeze")) {
            Demands.onlyCounts(
                    task,
                    "finetuning_type: freeze",
                    "freeze_trainable_layers",
                    "freeze_trainable_modules",
                    "freeze_extra_modules");
        }
        AdapterSettings adapter = null;
        if (lora && continued == null) {
            adapter = Demands.made(task, "finetuning_type", () -> lora(task));
        } else if (type.equals("freeze")) {
            adapter = Demands.made(task, "freeze_trainable_layers", () -> freeze(task));
        }
        double loraPlus = task.isGiven("loraplus_lr_ratio") ? Demands.aboveZero(task, "loraplus_lr_ratio") : 1;
        return new MethodKeys(type, adapter, continued, quantization(task, type), loraPlus);
    }

    private static @Nullable Path continued(TaskFile task, boolean lora) {
        List<String> adapters = task.list("adapter_name_or_path");
        if (adapters.isEmpty()) {
            return null;
        }
        if (lora && adapters.size() > 1) {
            task.refuse(
                    "adapter_name_or_path",
                    "names " + adapters.size()
                            + " adapters, but one is trained further; merge the others into the model"
                            + " by `finetune4j export`, and train from there");
        }
        if (!lora) {
            task.refuse(
                    "adapter_name_or_path",
                    "an adapter is trained further by finetuning_type: lora; write that, or merge the adapter into the"
                            + " model by `finetune4j export`");
        }
        for (String key : OF_ADAPTER) {
            if (task.isChanged(key)) {
                task.note(key, "ignored; an adapter that is trained further keeps its own settings");
            }
        }
        Path folder = Path.of(adapters.get(0));
        return task.text("adapter_folder").map(folder::resolve).orElse(folder);
    }

    private static LoraSettings lora(TaskFile task) {
        int rank = Demands.atLeast(task, "lora_rank", 1);
        LoraSettings.Builder lora = LoraSettings.builder()
                .rank(rank)
                .alpha(task.integer("lora_alpha").orElse(2 * rank))
                .dropout(Demands.share(task, "lora_dropout"))
                .useRslora(task.flag("use_rslora"))
                .useDora(task.flag("use_dora"))
                .modulesToSave(task.list("additional_target").toArray(String[]::new));
        List<String> targets = task.list("lora_target");
        if (!targets.equals(List.of("all"))) {
            lora.targetModules(TargetModules.named(targets.toArray(String[]::new)));
        }
        if (task.flag("pissa_init")) {
            lora.initWeights(
                    new LoraInit.Pissa(Math.max(0, task.integer("pissa_iter").orElse(0))));
        } else {
            Demands.onlyCounts(task, "pissa_init: true", "pissa_iter", "pissa_convert");
        }
        return lora.build();
    }

    private static FreezeSettings freeze(TaskFile task) {
        int layers = task.integer("freeze_trainable_layers").orElse(2);
        FreezeSettings.Builder freeze = FreezeSettings.builder()
                .extraModules(task.list("freeze_extra_modules").toArray(String[]::new));
        List<String> modules = task.list("freeze_trainable_modules");
        if (!modules.equals(List.of("all"))) {
            freeze.modules(modules.toArray(String[]::new));
        }
        return (layers < 0 ? freeze.firstLayers(-layers) : freeze.lastLayers(layers)).build();
    }

    private static @Nullable QuantSettings quantization(TaskFile task, String type) {
        if (!task.isGiven("quantization_bit")) {
            Demands.onlyCounts(
                    task, "quantization_bit", "quantization_method", "quantization_type", "double_quantization");
            return null;
        }
        int bits = task.integer("quantization_bit").orElse(4);
        if (bits != 4) {
            task.refuse(
                    "quantization_bit",
                    "is " + bits + ", but a base is kept in 4 bits or as it is; write 4, or take it out");
        }
        if (type.equals(FULL) || type.equals("freeze")) {
            task.refuse(
                    "quantization_bit",
                    "weights in 4 bits cannot be trained themselves, but finetuning_type is " + type
                            + "; write finetuning_type: lora, or take it out");
        }
        return QuantSettings.builder()
                .type(QuantType.ofLabel(task.text("quantization_type").orElse("nf4"))
                        .orElse(QuantType.NF4))
                .doubleQuantization(task.flag("double_quantization"))
                .build();
    }

    /** Whether all weights are trained, so that the result is a model and no adapter. */
    boolean isFull() {
        return type.equals(FULL);
    }

    void apply(FineTuner.Builder builder) {
        if (isFull()) {
            builder.full();
        } else if (continued != null) {
            builder.continueAdapter(continued);
        } else if (adapter != null) {
            builder.adapter(adapter);
        }
        if (quantization != null) {
            builder.quantize(quantization);
        }
        if (loraPlus != 1) {
            builder.loraPlus(loraPlus);
        }
    }

    /** Such as {@code LoRA of rank 8 on a base in 4 bits}. */
    String describe() {
        String what = adapter instanceof LoraSettings lora
                ? "LoRA of rank " + lora.rank()
                : adapter instanceof FreezeSettings freeze
                        ? "the " + (freeze.first() ? "first " : "last ") + freeze.layers() + " layers"
                        : continued != null ? "the adapter " + continued : "all weights";
        return what
                + (quantization == null
                        ? ""
                        : " on a base in 4 bits (" + quantization.type().label() + ")");
    }
}
