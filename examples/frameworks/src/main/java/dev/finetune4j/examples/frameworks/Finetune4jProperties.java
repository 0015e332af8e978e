package dev.finetune4j.examples.frameworks;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * What {@code application.yaml} says.
 *
 * @param model folder of the base
 * @param adapter folder of the adapter that answers; the base alone without
 * @param threads of an operation on the CPU; one leaves the cores to requests that come side by side
 */
@ConfigurationProperties("finetune4j")
public record Finetune4jProperties(
        Path model,
        @Nullable Path adapter,
        @DefaultValue("1") int threads) {}
