package dev.finetune4j.lora.adapter;

/**
 * What kind of adapter it is and how it is shaped. Immutable. The kinds are the library's own and may become more; settings of
 * another class are refused with {@link IllegalArgumentException}.
 */
public interface AdapterSettings {
    /** How many virtual tokens stand before the first one; 0 for methods without. */
    default int virtualTokens() {
        return 0;
    }
}
