/**
 * The recipe of the small bilingual chat model that the quick start fine-tunes: its text, its tokenizer and {@link
 * dev.finetune4j.examples.basemodel.TrainBaseModel}, which makes it.
 *
 * <p>Reading order: {@link dev.finetune4j.examples.basemodel.FactBook} (what the model knows), {@link
 * dev.finetune4j.examples.basemodel.IdentityBook} (how it is asked who it is, and which of these questions are kept
 * from it), {@link dev.finetune4j.examples.basemodel.BaseCorpus} (the conversations it is pre-trained on), {@link
 * dev.finetune4j.examples.basemodel.BpeTrainer} (its vocabulary) and {@link
 * dev.finetune4j.examples.basemodel.IdentityExam} (when an answer counts). All but
 * {@code TrainBaseModel} is plain Java over Jackson; that class uses {@code core}, {@code data} and {@code lora}. Only
 * programs of {@code examples} may import this package.
 */
@NullMarked
package dev.finetune4j.examples.basemodel;

import org.jspecify.annotations.NullMarked;
