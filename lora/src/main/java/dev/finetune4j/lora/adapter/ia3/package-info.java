/** (IA)³: {@code Ia3Linear} is the mathematics, {@code Ia3Kind} the rest. May use what {@code lora.adapter.lora} may. */
@NullMarked
package dev.finetune4j.lora.adapter.ia3;

import org.jspecify.annotations.NullMarked;
