/**
 * The files of a model folder: its weights in <a href="https://github.com/huggingface/safetensors">safetensors</a> form
 * and the JSON beside them.
 *
 * <p>A file from elsewhere is not trusted: every length, offset, name and path in it is checked before it is used,
 * nothing is allocated that the file's own size does not cover, and nothing outside the model folder is opened. What
 * is wrong with a file comes out as a {@link dev.finetune4j.core.ModelFileException} that names the file and what to
 * do. A file is written beside its final place and then moved there, so a reader sees the old file or the new one,
 * never a part.
 *
 * <p>Reading order: {@link dev.finetune4j.core.io.WeightSource} (what loading code sees), {@link
 * dev.finetune4j.core.io.SafetensorsFile}, {@link dev.finetune4j.core.io.ModelFiles}, {@link
 * dev.finetune4j.core.io.SafetensorsWriter}. Every module but {@code data} may import this package; it imports {@code core.tensor}, {@code core.json}, {@code core.cache} and
 * the exceptions of {@code core}.
 */
@NullMarked
package dev.finetune4j.core.io;

import org.jspecify.annotations.NullMarked;
