package dev.finetune4j.lora.train.checkpoint;

import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * A checkpoint that is not written yet; whoever takes it closes it.
 *
 * @param state what is no tensor
 * @param tensors what {@code trainer_state.safetensors} is to hold
 * @param model what is trained, for others
 * @param run the content of {@code run.json}
 * @param release frees the tensors
 */
@SuppressWarnings("ArrayRecordComponent") // written once, compared by nobody
public record TakenCheckpoint(
        TrainerState state, Map<String, Tensor> tensors, ModelSaver.Capture model, byte[] run, Runnable release)
        implements AutoCloseable {
    /** Of the free memory of the host, so much may be taken for a copy. */
    private static final double COPY_SHARE = 0.25;

    /**
     * Whether a state is copied and then written beside the training; else the training waits until it is written.
     *
     * @param bytes of the state
     * @param free bytes of the host's memory, when it is taken
     */
    public static boolean isCopied(long bytes, long free) {
        return bytes <= COPY_SHARE * free;
    }

    @Override
    public void close() {
        model.close();
        release.run();
    }
}
