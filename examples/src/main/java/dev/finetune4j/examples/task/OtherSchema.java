package dev.finetune4j.examples.task;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The schema of task files that LLaMA-Factory reads when {@code USE_V1} is set, of which only what to write instead is known here. */
final class OtherSchema {
    private static final String OUT = "take it out";
    private static final Map<String, String> INSTEAD = instead();

    private OtherSchema() {}

    private static Map<String, String> instead() {
        Map<String, String> keys = new LinkedHashMap<>();
        keys.put("model", "model_name_or_path");
        keys.put("custom_chat_template", "template");
        keys.put("train_dataset", "dataset and dataset_dir, with the data set's entry in dataset_info.json");
        keys.put("peft_config", "finetuning_type: lora, lora_rank, lora_alpha, lora_dropout and lora_target");
        keys.put("quant_config", "quantization_bit: 4");
        keys.put("micro_batch_size", "per_device_train_batch_size");
        keys.put("global_batch_size", "gradient_accumulation_steps");
        keys.put("batching_strategy", "packing");
        keys.put("enable_activation_checkpointing", "disable_gradient_checkpointing");
        keys.put("optim_config", "optim, adam_beta1, adam_beta2 and adam_epsilon");
        keys.put("lr_scheduler_config", "lr_scheduler_type and lr_scheduler_kwargs");
        keys.put("save_epochs", "save_strategy: epoch");
        for (String key : List.of(
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
                "sample_backend")) {
            keys.put(key, OUT);
        }
        return keys;
    }

    /** Whether keys are of that schema and not of the other. */
    static boolean isOf(Set<String> keys) {
        return !keys.contains("model_name_or_path")
                && keys.stream().filter(INSTEAD::containsKey).count() >= 2;
    }

    /** What to write for the keys. */
    static String remedy(Set<String> keys) {
        List<String> renamed = new ArrayList<>();
        List<String> gone = new ArrayList<>();
        for (String key : keys) {
            String instead = INSTEAD.getOrDefault(key, key);
            if (instead.equals(OUT)) {
                gone.add(key);
            } else if (!instead.equals(key)) {
                renamed.add(key + " → " + instead);
            }
        }
        return "this is the schema that LLaMA-Factory reads with USE_V1=1, which is not read here; write "
                + (keys.contains("train_dataset") ? "stage, do_train: true and " : "")
                + String.join(", ", renamed)
                + (gone.isEmpty() ? "" : ", and take out " + String.join(", ", gone));
    }
}
