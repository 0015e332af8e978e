/** How likely a model holds given tokens. Imports models and encoders; the facade imports it. */
@NullMarked
package dev.finetune4j.lora.eval.score;

import org.jspecify.annotations.NullMarked;
