package dev.finetune4j.lora.train.checkpoint;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.json.JsonFile;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A checkpoint on the disk that was found to be whole. Immutable.
 *
 * @param folder such as {@code checkpoint-120}
 * @param state what is no tensor
 * @param run what {@code run.json} says
 */
public record SavedCheckpoint(Path folder, TrainerState state, ObjectNode run) {
    static final String STATE = "trainer_state.json";
    static final String REST = "resume.json";
    static final String TENSORS = "trainer_state.safetensors";
    static final String SUMS = "checkpoint.json";

    /** The record of the run beside what it trained. */
    public static final String RUN = "run.json";

    /** As long as the heap allows: the history of all steps. */
    private static final long MOST_BYTES = Integer.MAX_VALUE - 8L;

    /** Whether a folder looks like a checkpoint, whole or not. */
    public static boolean isOne(Path folder) {
        return Files.isRegularFile(folder.resolve(SUMS)) || Files.isRegularFile(folder.resolve(STATE));
    }

    /**
     * Reads a checkpoint and checks each of its files.
     *
     * @throws ModelFileException when one is missing, changed or damaged
     */
    public static SavedCheckpoint read(Path folder) {
        if (!Files.isDirectory(folder)) {
            throw new ModelFileException(folder + " is not there; expected the folder of a checkpoint");
        }
        if (!Files.isRegularFile(folder.resolve(SUMS))) {
            throw new ModelFileException(folder + " has no " + SUMS + ", which this library writes into a checkpoint"
                    + (Files.isRegularFile(folder.resolve(STATE))
                            ? ": the checkpoint of another library's training cannot be gone on from; start a new training"
                                    + " from its adapter or model"
                            : ""));
        }
        String problem =
                Checksums.problem(folder, JsonFile.object(folder.resolve(SUMS)).path("files"));
        if (problem != null) {
            throw new ModelFileException(folder + " is damaged: " + problem);
        }
        TrainerState state = TrainerStateJson.read(folder, object(folder.resolve(STATE)), object(folder.resolve(REST)));
        return new SavedCheckpoint(folder, state, JsonFile.object(folder.resolve(RUN)));
    }

    private static ObjectNode object(Path file) {
        return JsonFile.object(file, JsonFile.bytes(file, MOST_BYTES));
    }

    /** The tensors, which are read one at a time; the caller closes it. */
    public SafetensorsFile tensors() {
        return SafetensorsFile.open(folder.resolve(TENSORS));
    }
}
