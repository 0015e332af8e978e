package dev.finetune4j.benchmarks;

/** What the time of a step is spent on. */
enum KernelKind {
    BASE("base_products", "products with base weights"),
    ATTENTION("attention", "attention"),
    DEQUANTIZE("dequantize", "4-bit weights made dense"),
    /** Norms, rotation, gated activations, sums, biases. */
    ELEMENTWISE("elementwise", "element by element"),
    LORA("lora_products", "LoRA's narrow products"),
    /** Cross entropy, the products with the head around it, embedding, choice of the next token. */
    VOCABULARY("vocabulary", "vocabulary and loss"),
    OPTIMIZER("optimizer", "norm of gradients, optimizer"),
    COPIES("copies", "copies and zeros"),
    OTHER("other", "other");

    /** The key in JSON. */
    final String key;

    final String label;

    KernelKind(String key, String label) {
        this.key = key;
        this.label = label;
    }
}
