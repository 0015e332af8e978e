package dev.finetune4j.core.generate;

import java.util.concurrent.CompletionStage;

/** A reply in the making, of {@link ChatModel#submit}. Thread-safe. */
public interface Completion {
    /**
     * Waits for the reply. An interrupt of the waiting thread cancels it; the flag stays set.
     *
     * @return all of it, or what there was until it was cancelled
     * @throws RuntimeException what ended it, such as {@link dev.finetune4j.core.OutOfDeviceMemoryException}, {@link
     *     IllegalStateException} when the model or its adapter was closed, or what the sink has thrown
     */
    Reply join();

    /** Ends the reply at its next token with {@link FinishReason#CANCELLED}; nothing happens if it has ended already. */
    void cancel();

    /** Whether the reply has ended, in any way. */
    boolean isDone();

    /** The reply when it has ended, or what ended it. */
    CompletionStage<Reply> stage();
}
