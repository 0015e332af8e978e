package dev.finetune4j.data;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * What became of a data set when it was encoded. Lengths are in tokens, and count what was kept; a text that was parted counts
 * with each of its parts.
 *
 * @param rows all rows of the data set, those that were skipped included
 * @param examined rows that were looked at: all; of a data set that is not held in memory the first thousand, and once a
 *     training has dealt out more of them, those. All numbers up to {@code answersWithStop} count these, the rest those that
 *     were looked at beforehand
 * @param skipped rows left out because they were too long
 * @param truncated rows that lost something because they were too long
 * @param totalTokens tokens of all examples
 * @param targetTokens tokens that the model must predict
 * @param longest length of the longest example
 * @param mean mean length
 * @param answers answers that the model learns, at least one in each row that was kept
 * @param answersWithStop those of them in which it also learns a token that ends generation; where there is none, the
 *     trained model never stops by itself
 * @param texts what was found in the texts of the rows
 * @param shape how long examples are, and what batches of them hold
 * @param preview the first rows, as the model sees them
 */
public record DataReport(
        int rows,
        int examined,
        int skipped,
        int truncated,
        long totalTokens,
        long targetTokens,
        int longest,
        double mean,
        long answers,
        long answersWithStop,
        Texts texts,
        Shape shape,
        List<PreviewRow> preview) {
    private static final double MANY = 0.05;

    /**
     * What was found in the texts of the rows.
     *
     * @param duplicates rows that say the same as an earlier one
     * @param nearDuplicates further rows that are nearly the same as an earlier one: at least four fifths of the sequences of
     *     three words that either has are in both, as MinHash estimates it; capitals, spaces and punctuation do not count. They
     *     are looked for among the first 100,000 rows
     * @param withUnknown rows with characters that the tokenizer cannot write
     * @param withSpecial rows whose texts spell a special token; in a conversation it counts as plain text, in a text for pre-training as
     *     the token
     */
    public record Texts(int duplicates, int nearDuplicates, int withUnknown, int withSpecial) {}

    /**
     * How long examples are, and what batches of them hold.
     *
     * @param histogram how many examples have up to so many tokens, in steps that double
     * @param median length of the example in the middle
     * @param limit tokens that an example may have
     * @param padded share of the positions that are padding when batches of eight examples, drawn by chance, are padded
     * @param packed share of the positions that hold tokens when rows of the limit are packed
     */
    public record Shape(List<Bin> histogram, int median, int limit, double padded, double packed) {
        public Shape {
            histogram = List.copyOf(histogram);
        }
    }

    /**
     * A bar of a histogram.
     *
     * @param upTo the greatest length that counts here; the least is one more than that of the bar before
     * @param examples how many there are
     */
    public record Bin(int upTo, int examples) {}

    /**
     * A row as the model sees it.
     *
     * @param where the row
     * @param pieces its text with the template around it, in order
     */
    public record PreviewRow(Provenance where, List<Piece> pieces) {
        public PreviewRow {
            pieces = List.copyOf(pieces);
        }
    }

    /**
     * A stretch of a row.
     *
     * @param text what it says; special tokens stand by their names
     * @param learned whether its tokens are learned
     */
    public record Piece(String text, boolean learned) {}

    public DataReport {
        preview = List.copyOf(preview);
    }

    /** Rows that were kept: the examples of an epoch, unless texts were parted. */
    public int examples() {
        return rows - skipped;
    }

    /**
     * What about the encoded data a user should know before trusting a training on it, one sentence each; empty if
     * nothing. They are written to the log.
     */
    public List<String> warnings() {
        List<String> warnings = new ArrayList<>();
        if (skipped > 0) {
            warnings.add(skipped + " of " + examined + " rows have more tokens than the limit and are left out");
        }
        if (truncated > 0) {
            warnings.add(truncated + " of " + examined
                    + " rows have more tokens than the limit and lost their oldest turns or the ends of their texts");
        }
        if (answers > 0 && answersWithStop == 0) {
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
        if (texts.withUnknown > MANY * examined) {
            warnings.add(texts.withUnknown + " of " + examined
                    + " rows have characters that the tokenizer cannot write, which the model sees as one and the same"
                    + " unknown token; take a base whose tokenizer knows the language");
        }
        return List.copyOf(warnings);
    }

    /** The report as plain text for a terminal, with the rows of the preview. */
    public String text() {
        return new ReportText(false).of(this);
    }

    /** As {@link #text()}, with the escape codes of terminals: what is learned is green, the rest grey. */
    public String colouredText() {
        return new ReportText(true).of(this);
    }

    /** The report as one HTML page that needs nothing else, with the rows of the preview. */
    public String html() {
        return new ReportPage(this).html();
    }

    /** One line. */
    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                "%,d rows%s (%d left out, %d shortened), %,d tokens of which %,d are learned, longest %,d, median %,d",
                rows,
                examined < rows ? ", of the first " + examined : "",
                skipped,
                truncated,
                totalTokens,
                targetTokens,
                longest,
                shape.median);
    }
}
