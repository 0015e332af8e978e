/**
 * The one reader of JSON, for model folders, adapters, tokenizers and rows of data alike, so that all of them take and
 * refuse the same texts and say so in the same words.
 *
 * <p>{@link dev.finetune4j.core.json.JsonFile} reads a small file as a whole, {@link
 * dev.finetune4j.core.json.JsonReader} one value after another from a stream of any length. What is read becomes a tree
 * of Jackson, which also writes; its parser is not used, as its limits and messages are made for programmers. Any package
 * may import this one; it imports only the exceptions of {@code core}.
 */
@NullMarked
package dev.finetune4j.core.json;

import org.jspecify.annotations.NullMarked;
