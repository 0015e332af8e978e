/**
 * VeRA: {@code VeraLinear} is the mathematics, {@code VeraSpec} the shared matrices and their initialization, {@code VeraKind} the
 * rest. May use what {@code lora.adapter.lora} may.
 */
@NullMarked
package dev.finetune4j.lora.adapter.vera;

import org.jspecify.annotations.NullMarked;
