package dev.finetune4j.lora.train.checkpoint;

import dev.finetune4j.lora.train.TrainingSettings;
import java.util.Map;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;

/**
 * Where and how a training writes its checkpoints.
 *
 * @param folder claimed for it, and given up by whoever claimed it
 * @param settings when
 * @param saver what is trained, for others
 * @param frozen tensors that the training reads and does not change, but that begin by chance or by computing; they are saved too
 * @param run the content of {@code run.json} at some state
 */
public record CheckpointTarget(
        CheckpointFolder folder,
        TrainingSettings.CheckpointSettings settings,
        ModelSaver saver,
        Map<String, Tensor> frozen,
        Function<TrainerState, byte[]> run) {}
