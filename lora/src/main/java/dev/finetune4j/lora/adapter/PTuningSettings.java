package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;

/**
 * P-tuning (v1): virtual tokens {@code h(P)} before the first one, which a small network h makes of trained vectors P
 * (<a href="https://arxiv.org/abs/2103.10385">Liu et al. 2021</a>). Immutable.
 *
 * @param virtualTokens how many there are, n
 * @param encoder kind of the network
 * @param encoderSize width of its hidden layers, 0 for the model's hidden size
 * @param lstmLayers layers of an LSTM; a perceptron always has three
 * @param dropout between the layers of an LSTM
 */
public record PTuningSettings(int virtualTokens, Encoder encoder, int encoderSize, int lstmLayers, double dropout)
        implements AdapterSettings {
    /** The kinds of network. */
    public enum Encoder {
        /** Three linears with rectifiers between them. */
        MLP,
        /** A bidirectional LSTM and two linears. */
        LSTM
    }

    public PTuningSettings {
        List<String> problems = new ArrayList<>(SettingsChecks.virtualTokens(virtualTokens));
        if (encoderSize < 0) {
            problems.add(
                    "the encoder's width must be at least 1, or 0 for the model's hidden size, but is " + encoderSize);
        }
        if (lstmLayers < 1) {
            problems.add("an LSTM needs at least 1 layer, but has " + lstmLayers + "; 2 is usual");
        }
        if (!(dropout >= 0 && dropout < 1)) {
            problems.add("the encoder's dropout must be at least 0 and below 1, but is " + dropout);
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Made by a perceptron as wide as the model. */
    public static PTuningSettings of(int virtualTokens) {
        return new PTuningSettings(virtualTokens, Encoder.MLP, 0, 2, 0);
    }
}
