package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;

/**
 * Prefix tuning: trained keys and values P before those of the first token, in every layer, {@code attention(q, [Pk; K], [Pv; V])}
 * (<a href="https://arxiv.org/abs/2101.00190">Li and Liang 2021</a>). Immutable.
 *
 * @param virtualTokens how many there are, n
 * @param projectionSize width of the hidden layer of a network that makes them while they are trained, 0 for none
 * @param zeroInit whether they (or the last layer of the network) start at zero, otherwise from a normal distribution
 */
public record PrefixSettings(int virtualTokens, int projectionSize, boolean zeroInit) implements AdapterSettings {
    public PrefixSettings {
        List<String> problems = new ArrayList<>(SettingsChecks.virtualTokens(virtualTokens));
        if (projectionSize < 0) {
            problems.add("the width of the prefix projection must be at least 1, or 0 for none," + " but is "
                    + projectionSize);
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Keys and values that are trained themselves. */
    public static PrefixSettings of(int virtualTokens) {
        return new PrefixSettings(virtualTokens, 0, false);
    }
}
