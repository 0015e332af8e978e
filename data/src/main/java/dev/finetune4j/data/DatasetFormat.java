package dev.finetune4j.data;

/** What the columns of a row mean. Immutable. */
public sealed interface DatasetFormat {
    /** Recognised by the columns of the first row; what is not recognised is an error that names the columns. */
    record Auto() implements DatasetFormat {}

    /**
     * <a href="https://github.com/tatsu-lab/stanford_alpaca#data-release">Alpaca</a>: {@code instruction}, optionally
     * {@code input}, {@code output}, and optionally {@code system} and {@code history}, which is a list of pairs of a
     * question and an answer that come before. The prompt is the instruction, followed by a new line and the input if that
     * is not blank. Other fields are ignored.
     */
    record Alpaca() implements DatasetFormat {}

    /** {@link Auto}. */
    static DatasetFormat auto() {
        return new Auto();
    }

    /** {@link Alpaca}. */
    static DatasetFormat alpaca() {
        return new Alpaca();
    }
}
