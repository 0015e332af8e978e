/** LN tuning: trained copies of norms. May use what {@code lora.adapter.lora} may. */
@NullMarked
package dev.finetune4j.lora.adapter.lntuning;

import org.jspecify.annotations.NullMarked;
