/**
 * Model families and loading: from a Hugging Face folder to a {@link dev.finetune4j.core.model.CausalLM}.
 *
 * <p>A family is one small class of data: it reads its config.json into a
 * {@link dev.finetune4j.core.model.ModelConfig}; {@code ModelBuilder}, the same for all, derives from that the tensors that
 * the weights must have and composes blocks of {@code core.nn}. Reading order: {@code PretrainedFolder}, {@code CausalLM}, {@code LlamaFamily},
 * {@code ConfigDraft}, {@code ModelBuilder}, {@code ModelLoader}. To add a family, write its class beside {@code LlamaFamily},
 * add it to {@code ModelFamily.ALL}, and add a parity fixture. Imports {@code core.nn}, {@code core.io} and
 * {@code core.tensor}; every module but {@code data} may import it.
 */
@NullMarked
package dev.finetune4j.core.model;

import org.jspecify.annotations.NullMarked;
