package dev.finetune4j.data;

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
 */
public record DataReport(
        int rows, int skipped, int truncated, long totalTokens, long targetTokens, int longest, double mean) {}
