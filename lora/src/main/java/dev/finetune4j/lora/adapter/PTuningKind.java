package dev.finetune4j.lora.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.lora.adapter.PromptEncoder.Activation;
import dev.finetune4j.lora.adapter.PromptEncoder.Perceptron;
import dev.finetune4j.lora.adapter.PromptEncoder.Recurrent;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** P-tuning. */
final class PTuningKind extends PromptLearningKind<PTuningSettings> {
    private static final String NETWORK = "mlp_head";

    PTuningKind() {
        super(PTuningSettings.class, "P_TUNING", 1e-3);
    }

    @Override
    PromptEncoderSpec spec(PTuningSettings chosen, ModelConfig base) {
        long width = base.hiddenSize();
        long size = chosen.encoderSize(width);
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
    PromptEncoder encoder(PTuningSettings chosen, ModelConfig base, Map<String, Tensor> tensors) {
        if (chosen.encoder() == PTuningSettings.Encoder.MLP) {
            return Perceptron.of(tensors, NETWORK, 3, Activation.RELU);
        }
        return Recurrent.of(
                Perceptron.of(tensors, NETWORK, 2, Activation.RELU),
                tensors,
                chosen.encoderSize(base.hiddenSize()),
                chosen.lstmLayers(),
                chosen.dropout());
    }

    @Override
    PTuningSettings read(ConfigFields fields, CausalLM base) {
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
    void write(PTuningSettings chosen, ObjectNode config, CausalLM model) {
        ModelConfig base = model.config();
        writeShape(config, base, chosen.virtualTokens(), base.attention().heads(), base.hiddenSize());
        config.put("encoder_dropout", chosen.dropout());
        config.put("encoder_hidden_size", chosen.encoderSize(base.hiddenSize()));
        config.put("encoder_num_layers", chosen.lstmLayers());
        config.put("encoder_reparameterization_type", chosen.encoder().name());
    }
}
