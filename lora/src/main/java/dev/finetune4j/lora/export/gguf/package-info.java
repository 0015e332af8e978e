/**
 * Models and LoRA adapters as <a href="https://github.com/ggml-org/ggml/blob/master/docs/gguf.md">GGUF</a> files for llama.cpp and
 * what is built on it. {@link dev.finetune4j.lora.export.gguf.Architecture} says what a family is called there and what it computes,
 * {@link dev.finetune4j.lora.export.gguf.TensorConversion} names and changes tensors, {@link
 * dev.finetune4j.lora.export.gguf.VocabularyMetadata} writes the tokenizer. What llama.cpp would compute otherwise is refused.
 */
@NullMarked
package dev.finetune4j.lora.export.gguf;

import org.jspecify.annotations.NullMarked;
