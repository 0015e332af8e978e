package dev.finetune4j.lora.adapter.prompt;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.lora.adapter.PTuningSettings;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import dev.finetune4j.lora.adapter.prompt.PromptEncoder.Activation;
import dev.finetune4j.lora.adapter.prompt.PromptEncoder.Perceptron;
import dev.finetune4j.lora.adapter.prompt.PromptEncoder.Recurrent;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** P-tuning. */
public final class PTuningKind extends PromptLearningKind<PTuningSettings> {
    private static final String NETWORK = "mlp_head";

    public PTuningKind() {
        super(PTuningSettings.class, "P_TUNING", 1e-3);
    }

    /** Width of the encoder's hidden layers on a model. */
    private static int encoderSize(PTuningSettings chosen, ModelConfig base) {
        return chosen.encoderSize() == 0 ? base.hiddenSize() : chosen.encoderSize();
    }

    @Override
    public boolean isStoredWhole(PTuningSettings chosen) {
        return false;
    }

    @Override
    public PromptEncoderSpec spec(PTuningSettings chosen, ModelConfig base) {
        long width = base.hiddenSize();
        long size = encoderSize(chosen, base);
        PromptEncoderSpec spec = new PromptEncoderSpec().table(chosen.virtualTokens(), width);
        if (chosen.encoder() == PTuningSettings.Encoder.MLP) {
            return spec.layer(Perceptron.layerName(NETWORK, 0), width, size)
                    .layer(Perceptron.layerName(NETWORK, 1), size, size)
                    .layer(Perceptron.layerName(NETWORK, 2), size, width);
        }
        spec.layer(Perceptron.layerName(NETWORK, 0), 2 * size, 2 * size)
                .layer(Perceptron.layerName(NETWORK, 1), 2 * size, width);
        double bound = 1 / Math.sqrt((double) size);
        for (int i = 0; i < chosen.lstmLayers(); i++) {
            long in = i == 0 ? width : 2 * size;
            for (String direction : List.of("", "_reverse")) {
                String end = "_l" + i + direction;
                spec.uniform(Recurrent.NAME + "weight_ih" + end, bound, 4 * size, in)
                        .uniform(Recurrent.NAME + "weight_hh" + end, bound, 4 * size, size)
                        .uniform(Recurrent.NAME + "bias_ih" + end, bound, 4 * size)
                        .uniform(Recurrent.NAME + "bias_hh" + end, bound, 4 * size);
            }
        }
        return spec;
    }

    @Override
    public PromptEncoder encoder(PTuningSettings chosen, ModelConfig base, Map<String, Tensor> tensors) {
        if (chosen.encoder() == PTuningSettings.Encoder.MLP) {
            return Perceptron.of(tensors, NETWORK, 3, Activation.RELU);
        }
        return Recurrent.of(
                Perceptron.of(tensors, NETWORK, 2, Activation.RELU),
                tensors,
                encoderSize(chosen, base),
                chosen.lstmLayers(),
                chosen.dropout());
    }

    @Override
    public PTuningSettings read(ConfigFields fields, CausalLM base) {
        int count = readCount(fields);
        int size = fields.integer("encoder_hidden_size", 0);
        int layers = fields.integer("encoder_num_layers", 2);
        double dropout = fields.number("encoder_dropout", 0);
        String encoder = fields.text("encoder_reparameterization_type", "MLP");
        boolean lstm = encoder.equals("LSTM");
        if (!lstm && !encoder.equals("MLP")) {
            fields.problem("\"encoder_reparameterization_type\" must be MLP or LSTM, but is " + encoder);
        }
        return fields.build(() -> new PTuningSettings(
                count, lstm ? PTuningSettings.Encoder.LSTM : PTuningSettings.Encoder.MLP, size, layers, dropout));
    }

    @Override
    public void write(PTuningSettings chosen, ObjectNode config, CausalLM model) {
        ModelConfig base = model.config();
        writeShape(config, base, chosen.virtualTokens(), base.attention().heads(), base.hiddenSize());
        config.put("encoder_dropout", chosen.dropout());
        config.put("encoder_hidden_size", encoderSize(chosen, base));
        config.put("encoder_num_layers", chosen.lstmLayers());
        config.put("encoder_reparameterization_type", chosen.encoder().name());
    }
}
