package dev.finetune4j.data;

import dev.finetune4j.data.batch.SftEncoder;
import java.util.ArrayList;
import java.util.List;

/**
 * What became of a data set when it was encoded. Lengths are in tokens, and count the rows that were kept.
 *
 * @param rows all rows of the data set, those that were skipped included
 * @param skipped rows left out because they were too long
 * @param truncated rows that lost their oldest turns because they were too long
 * @param totalTokens tokens of all rows
 * @param targetTokens tokens that the model must predict
 * @param longest length of the longest row
 * @param mean mean length
 * @param answers answers that the model learns, at least one in each row that was kept
 * @param answersWithStop those of them in which it also learns a token that ends generation; where there is none, the
 *     trained model never stops by itself
 */
public record DataReport(
        int rows,
        int skipped,
        int truncated,
        long totalTokens,
        long targetTokens,
        int longest,
        double mean,
        long answers,
        long answersWithStop) {

    /** Rows that were kept: the examples of an epoch. */
    public int examples() {
        return rows - skipped;
    }

    /**
     * What about the encoded data a user should know before trusting a training on it, one sentence each; empty if
     * nothing. {@link SftEncoder} writes them to the log.
     */
    public List<String> warnings() {
        List<String> warnings = new ArrayList<>();
        if (skipped > 0) {
            warnings.add(skipped + " of " + rows + " rows have more tokens than the limit and are left out");
        }
        if (truncated > 0) {
            warnings.add(
                    truncated + " of " + rows + " rows have more tokens than the limit and lost their oldest turns");
        }
        if (answersWithStop == 0) {
            warnings.add(
                    "none of the " + answers + " trained answers ends with a token at which generation stops, so the"
                            + " model does not learn to end an answer; choose the chat template that the model was trained"
                            + " with, or name the token with which the template ends an answer as \"eos_token\" in"
                            + " tokenizer_config.json");
        } else if (answersWithStop < answers) {
            warnings.add("only " + answersWithStop + " of " + answers + " trained answers end with a token at which"
                    + " generation stops, because the chat template does not write it after every answer; rows of one"
                    + " question and answer teach the end each time");
        }
        return List.copyOf(warnings);
    }
}
