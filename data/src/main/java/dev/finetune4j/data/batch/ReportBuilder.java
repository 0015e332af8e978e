package dev.finetune4j.data.batch;

import dev.finetune4j.core.Labels;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.TextExample;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Counts what becomes of rows, in their order. */
final class ReportBuilder {
    private static final int PREVIEWED = 8;
    private static final int PREVIEWED_TOKENS = 2000;
    private static final int FIRST_BIN = 16;
    private static final int PADDED_BATCH = 8;

    private final Vocabulary vocabulary;
    private final int limit;
    private final List<EncodedExample> kept = new ArrayList<>();
    private final List<DataReport.PreviewRow> preview = new ArrayList<>();
    private final Set<Long> seen = new HashSet<>();
    private final BitSet stops = new BitSet();
    private final NearDuplicates near = new NearDuplicates();
    private int rows;
    private int examples;
    private int skipped;
    private int truncated;
    private long totalTokens;
    private long targetTokens;
    private int longest;
    private long answers;
    private long answersWithStop;
    private int duplicates;
    private int nearDuplicates;
    private int withUnknown;
    private int withSpecial;

    /** What the report needs to know of the tokenizer. */
    interface Vocabulary {
        /** Ids that end generation. */
        Set<Integer> stopIds();

        /** The text of ids, special tokens by their names. */
        String decode(int[] ids);

        /** Whether a text of a row spells a special token. */
        boolean spellsSpecial(String text);

        /** Whether an id stands for what the vocabulary cannot write. */
        boolean isUnknown(int id);
    }

    ReportBuilder(Vocabulary vocabulary, int limit) {
        this.vocabulary = vocabulary;
        vocabulary.stopIds().forEach(stops::set);
        this.limit = limit;
    }

    void add(Example example, EncodedRow row) {
        countTexts(example);
        count(row, example instanceof TextExample);
        boolean unknown = false;
        for (EncodedExample encoded : row.examples()) {
            kept.add(encoded);
            for (EncodedSequence sequence : encoded.sequences()) {
                unknown |= Arrays.stream(sequence.inputIds()).anyMatch(vocabulary::isUnknown);
                if (preview.size() < PREVIEWED) {
                    preview.add(preview(example, sequence));
                }
            }
        }
        withUnknown += unknown ? 1 : 0;
    }

    /** Counts a row, but neither looks at its texts nor keeps it. */
    void count(EncodedRow row, boolean isText) {
        rows++;
        skipped += row.tooLong() > 0 ? 1 : 0;
        truncated += row.truncated() ? 1 : 0;
        for (EncodedExample encoded : row.examples()) {
            examples++;
            for (EncodedSequence sequence : encoded.sequences()) {
                totalTokens += sequence.length();
                targetTokens += sequence.targetTokens();
                longest = Math.max(longest, sequence.length());
                if (!isText) {
                    countAnswers(sequence.labels());
                }
            }
        }
    }

    private void countTexts(Example example) {
        List<String> texts = example.texts();
        String whole = String.join("\u0000", texts);
        boolean isNew = seen.add(hash(whole));
        boolean isNear = near.add(whole);
        duplicates += isNew ? 0 : 1;
        nearDuplicates += isNew && isNear ? 1 : 0;
        withSpecial += texts.stream().anyMatch(vocabulary::spellsSpecial) ? 1 : 0;
    }

    /** 64 bits, of which no two texts of a data set have the same but by a chance of one in a million. */
    private static long hash(String text) {
        long hash = 0xCBF29CE484222325L;
        for (int i = 0; i < text.length(); i++) {
            hash = (hash ^ text.charAt(i)) * 0x9E3779B97F4A7C15L;
            hash ^= hash >>> 32;
        }
        return hash;
    }

    /** An answer is a stretch of labels, whose end may have white space behind the token that ends it. */
    private void countAnswers(int[] labels) {
        boolean inAnswer = false;
        boolean stopped = false;
        for (int label : labels) {
            boolean learned = label != Labels.IGNORE;
            if (learned && !inAnswer) {
                answers++;
                stopped = false;
            }
            if (learned && !stopped && stops.get(label)) {
                answersWithStop++;
                stopped = true;
            }
            inAnswer = learned;
        }
    }

    private DataReport.PreviewRow preview(Example example, EncodedSequence sequence) {
        int[] ids = sequence.inputIds();
        int end = Math.min(ids.length, PREVIEWED_TOKENS);
        List<DataReport.Piece> pieces = new ArrayList<>();
        int start = 0;
        for (int i = 1; i <= end; i++) {
            boolean learned = start > 0 && sequence.labels()[start - 1] != Labels.IGNORE;
            if (i == end || (sequence.labels()[i - 1] != Labels.IGNORE) != learned) {
                pieces.add(new DataReport.Piece(vocabulary.decode(Arrays.copyOfRange(ids, start, i)), learned));
                start = i;
            }
        }
        if (end < ids.length) {
            pieces.add(new DataReport.Piece(" … (" + (ids.length - end) + " more tokens)", false));
        }
        return new DataReport.PreviewRow(example.where(), pieces);
    }

    List<EncodedExample> kept() {
        return kept;
    }

    /** @param all rows of the data set, of which the first ones may be all that was added */
    DataReport build(int all) {
        return report(
                all, new DataReport.Texts(duplicates, nearDuplicates, withUnknown, withSpecial), shape(), preview);
    }

    /** The counts of what was looked at since, if that is more than in an earlier report, with the rest of that. */
    DataReport completing(DataReport earlier) {
        return rows <= earlier.examined()
                ? earlier
                : report(earlier.rows(), earlier.texts(), earlier.shape(), earlier.preview());
    }

    private DataReport report(
            int all, DataReport.Texts texts, DataReport.Shape shape, List<DataReport.PreviewRow> previewed) {
        double mean = (double) totalTokens / Math.max(1, examples);
        return new DataReport(
                all,
                rows,
                skipped,
                truncated,
                totalTokens,
                targetTokens,
                longest,
                mean,
                answers,
                answersWithStop,
                texts,
                shape,
                previewed);
    }

    private DataReport.Shape shape() {
        int[] lengths = kept.stream().mapToInt(EncodedExample::longest).toArray();
        int[] sorted = lengths.clone();
        Arrays.sort(sorted);
        List<DataReport.Bin> bins = new ArrayList<>();
        int from = 0;
        for (int upTo = FIRST_BIN; from < sorted.length; upTo *= 2) {
            int to = from;
            while (to < sorted.length && sorted[to] <= upTo) {
                to++;
            }
            if (to > 0) {
                bins.add(new DataReport.Bin(upTo, to - from));
            }
            from = to;
        }
        int median = sorted.length == 0 ? 0 : sorted[sorted.length / 2];
        return new DataReport.Shape(bins, median, limit, padded(lengths), packed());
    }

    private double padded(int[] lengths) {
        int[] order = Permutation.of(lengths.length, 0, 0);
        long positions = 0;
        for (int start = 0; start < order.length; start += PADDED_BATCH) {
            int end = Math.min(order.length, start + PADDED_BATCH);
            int most = 0;
            for (int i = start; i < end; i++) {
                most = Math.max(most, lengths[order[i]]);
            }
            positions += (long) most * (end - start);
        }
        return positions == 0
                ? 0
                : 1 - (double) Arrays.stream(lengths).asLongStream().sum() / positions;
    }

    private double packed() {
        boolean fits = kept.stream().allMatch(example -> example.tokens() <= limit);
        return kept.isEmpty() || !fits
                ? 0
                : (double) totalTokens
                        / ((double) limit * RowPacker.pack(kept, limit).size());
    }
}
