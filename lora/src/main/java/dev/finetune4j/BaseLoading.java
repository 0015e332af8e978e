package dev.finetune4j;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.BatchSettings;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How a base gets from its folder into memory: the number formats, the form of its weights, the chat template, and what is usual of these
 * where nobody chose. Immutable.
 *
 * @param placement where it is and in which number formats
 * @param quantization the 4-bit form of its linears; null to leave them as they are in the folder
 * @param trainable whether its own weights are trained
 * @param batching how many texts it generates at once
 */
record BaseLoading(
        Placement placement, @Nullable QuantSettings quantization, boolean trainable, BatchSettings batching) {
    /** A base that is used, and carries adapters: as it is in its folder. */
    static BaseLoading on(ComputeDevice device, @Nullable Precision precision) {
        return of(device, precision, null, false);
    }

    /** A base for a training, with its own weights in float32 when they are what is trained. */
    static BaseLoading forTraining(ComputeDevice device, @Nullable Precision precision, TuningMethod method) {
        return of(device, precision, method.quantization(), method.adapter() == null);
    }

    private static BaseLoading of(
            ComputeDevice device, @Nullable Precision precision, @Nullable QuantSettings form, boolean trainable) {
        Precision computed = precision == null ? DeviceKernels.of(device).fastestPrecision() : precision;
        Placement placement = new Placement(device, computed, trainable ? Precision.FP32 : computed);
        return new BaseLoading(placement, form, trainable, BatchSettings.defaults());
    }

    /**
     * The encoder of a model folder.
     *
     * @param tokenizer that of the folder; borrowed
     * @param template the name of a chat template; null for the one that the model folder brings along
     * @throws SettingsException when no template has the name, or none was named and the folder has none
     */
    static ChatEncoder encoder(PretrainedFolder folder, Tokenizer tokenizer, @Nullable String template) {
        ChatTemplate chosen = template == null ? ownTemplate(folder, tokenizer) : ChatTemplate.named(template);
        return new ChatEncoder(
                tokenizer, chosen, folder.files().eosTokenIds(), folder.config().vocabSize());
    }

    private static ChatTemplate ownTemplate(PretrainedFolder folder, Tokenizer tokenizer) {
        return ChatTemplate.ofCheckpoint(tokenizer).orElseThrow(() -> {
            String names = String.join(", ", ChatTemplate.names());
            return new SettingsException(List.of("there is no chat template in " + folder.path()
                    + "; name one with chatTemplate(…): " + names
                    + ". Where texts are only continued, or learned as they are, take \"default\""));
        });
    }

    BaseLoading withThreads(int threads) {
        return new BaseLoading(placement.withThreads(threads), quantization, trainable, batching);
    }

    BaseLoading quantizing(@Nullable QuantSettings form) {
        return new BaseLoading(placement, form, trainable, batching);
    }

    BaseLoading batching(BatchSettings settings) {
        return new BaseLoading(placement, quantization, trainable, settings);
    }

    /** Reads the weights. */
    CausalLM weights(PretrainedFolder folder) {
        return ModelLoader.load(folder, factory(folder), placement);
    }

    /** A small model like that in the folder: {@link ModelLoader#miniature}. */
    CausalLM miniature(PretrainedFolder folder, int vocabulary) {
        return ModelLoader.miniature(folder, vocabulary, factory(folder), placement);
    }

    /** Weights that are 4-bit codes stay so; training all weights needs dense ones and says so. */
    private LinearFactory factory(PretrainedFolder folder) {
        if (quantization != null) {
            return new QuantizedLinearFactory(quantization);
        }
        return folder.files().isFourBit() && !trainable
                ? new QuantizedLinearFactory(QuantSettings.nf4())
                : LinearFactory.dense();
    }
}
