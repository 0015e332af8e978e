package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.train.TrainingSettings;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/**
 * What all parts of a training share.
 *
 * @param model computes the hidden states
 * @param trainable what is trained, by name
 * @param objective what is minimized
 * @param loader gives the batches of each step
 * @param totalSteps of the training, with those that an earlier run has done
 * @param listeners watch
 * @param ranks train together
 * @param cancelled whether to end before the next micro-batch; comes back later when the training is paused
 * @param doing is told what is done next, for the message of an error
 */
record Setup(
        CausalLM model,
        Map<String, Parameter> trainable,
        Objective objective,
        BatchLoader loader,
        TrainingSettings settings,
        int totalSteps,
        ListenerSet listeners,
        Communicator ranks,
        BooleanSupplier cancelled,
        Consumer<String> doing) {}
