package dev.finetune4j.examples.task;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The schema of task files that LLaMA-Factory reads when {@code USE_V1} is set, of which only what to write instead is known here. */
final class OtherSchema {
    private static final Map<String, String> INSTEAD = Map.ofEntries(
            Map.entry("model", "model_name_or_path"),
            Map.entry("custom_chat_template", "template"),
            Map.entry("micro_batch_size", "per_device_train_batch_size"));
    private static final Map<String, String> OF_ADAPTER =
            Map.of("name", "finetuning_type", "r", "lora_rank", "target_modules", "lora_target");
    /** What has no value that could be taken over. */
    private static final Map<String, String> OTHERWISE = Map.ofEntries(
            Map.entry("train_dataset", "dataset, with the data set's entry in dataset_info.json"),
            Map.entry("global_batch_size", "gradient_accumulation_steps"),
            Map.entry("batching_strategy", "packing"),
            Map.entry("enable_activation_checkpointing", "disable_gradient_checkpointing"),
            Map.entry("optim_config", "optim, adam_beta1, adam_beta2 and adam_epsilon"),
            Map.entry("lr_scheduler_config", "lr_scheduler_type and lr_scheduler_kwargs"),
            Map.entry("save_epochs", "save_strategy: epoch"));

    private static final Set<String> GONE = Set.of(
            "model_class",
            "init_config",
            "kernel_config",
            "dist_config",
            "dp_size",
            "cp_size",
            "cp_mode",
            "mp_replicate_size",
            "mp_shard_size",
            "dist_timeout",
            "batching_workers",
            "save_ckpt_as_hf",
            "sample_backend");

    private OtherSchema() {}

    /** Whether keys are of that schema and not of the other. */
    static boolean isOf(Set<String> keys) {
        return !keys.contains("model_name_or_path")
                && keys.stream().filter(OtherSchema::isOwn).count() >= 2;
    }

    private static boolean isOwn(String key) {
        return INSTEAD.containsKey(key)
                || OTHERWISE.containsKey(key)
                || GONE.contains(key)
                || key.equals("peft_config")
                || key.equals("quant_config");
    }

    /** What to write for the keys. */
    static String remedy(Map<String, TaskValue> values) {
        Map<String, String> written = new LinkedHashMap<>();
        List<String> otherwise = new ArrayList<>();
        List<String> gone = new ArrayList<>();
        if (values.containsKey("train_dataset")) {
            written.put("stage", "sft (dpo where the rows are pairs)");
            written.put("do_train", "true");
        }
        values.forEach((key, value) -> {
            if (GONE.contains(key)) {
                gone.add(key);
            } else if (value.content() instanceof Map<?, ?> inner && key.equals("peft_config")) {
                inner.forEach((name, part) -> written.put(
                        OF_ADAPTER.getOrDefault(String.valueOf(name), String.valueOf(name)), String.valueOf(part)));
            } else if (value.content() instanceof Map<?, ?> inner && key.equals("quant_config")) {
                written.put(
                        "quantization_bit",
                        inner.containsKey("quantization_bit") ? String.valueOf(inner.get("quantization_bit")) : "4");
            } else if (value.content() != null && INSTEAD.containsKey(key)) {
                written.put(INSTEAD.get(key), value.text());
            } else if (value.content() != null && OTHERWISE.containsKey(key)) {
                otherwise.add(key + " as " + OTHERWISE.get(key));
            }
        });
        StringBuilder text = new StringBuilder(
                "this is the schema that LLaMA-Factory reads with USE_V1=1, which is not read here; write ");
        List<String> lines = new ArrayList<>();
        written.forEach((key, value) -> lines.add(key + ": " + value));
        text.append(String.join(", ", lines));
        if (!otherwise.isEmpty()) {
            text.append("; write ").append(String.join("; ", otherwise));
        }
        if (!gone.isEmpty()) {
            text.append("; take out ").append(String.join(", ", gone));
        }
        return text.toString();
    }
}
