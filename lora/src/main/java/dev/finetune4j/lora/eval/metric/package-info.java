/**
 * How answers are compared with references: n-gram overlap by BLEU and ROUGE, and the tokenizations that BLEU is published with.
 * Everything is stateless and works on token lists; which tokens those are says {@code lora.eval.Segmenter}.
 */
@NullMarked
package dev.finetune4j.lora.eval.metric;

import org.jspecify.annotations.NullMarked;
