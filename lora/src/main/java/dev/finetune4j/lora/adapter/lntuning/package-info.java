/**
 * LN tuning, and freeze tuning, which is written in its format: trained copies of norms, or of any modules of some layers. May use
 * what {@code lora.adapter.lora} may.
 */
@NullMarked
package dev.finetune4j.lora.adapter.lntuning;

import org.jspecify.annotations.NullMarked;
