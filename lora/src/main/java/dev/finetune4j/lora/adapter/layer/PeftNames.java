package dev.finetune4j.lora.adapter.layer;

/** Names of tensors in a file of PEFT. */
public final class PeftNames {
    /** Before the path of a module. */
    public static final String PREFIX = "base_model.model.";

    private PeftNames() {}

    /** The name of a tensor in the file; {@code end} is such as {@code lora_A.weight}. */
    public static String tensorName(String module, String end) {
        return PREFIX + module + "." + end;
    }
}
