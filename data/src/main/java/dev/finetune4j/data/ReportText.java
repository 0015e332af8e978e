package dev.finetune4j.data;

import java.util.Locale;

/** Writes a report for a terminal. */
final class ReportText {
    private static final String LEARNED = "\u001B[32m";
    private static final String IGNORED = "\u001B[90m";
    private static final String PLAIN = "\u001B[0m";
    private static final int WIDTH = 40;

    private final boolean coloured;
    private final StringBuilder out = new StringBuilder();

    ReportText(boolean coloured) {
        this.coloured = coloured;
    }

    String of(DataReport report) {
        out.append(report).append('\n');
        lengths(report.shape());
        line(
                "answers %,d, of which %,d end with a token that stops generation",
                report.answers(), report.answersWithStop());
        DataReport.Texts texts = report.texts();
        line(
                "rows that repeat an earlier one %,d, nearly %,d; with characters unknown to the tokenizer %,d; that spell a"
                        + " special token %,d",
                texts.duplicates(), texts.nearDuplicates(), texts.withUnknown(), texts.withSpecial());
        line(
                "batches of eight would be %.0f %% padding; packed rows of %,d tokens would be %.1f %% full",
                100 * report.shape().padded(),
                report.shape().limit(),
                100 * report.shape().packed());
        report.warnings().forEach(warning -> out.append("! ").append(warning).append('\n'));
        report.preview().forEach(this::row);
        return out.toString();
    }

    private void lengths(DataReport.Shape shape) {
        int most = shape.histogram().stream()
                .mapToInt(DataReport.Bin::examples)
                .max()
                .orElse(1);
        for (DataReport.Bin bin : shape.histogram()) {
            String bar = "\u2588".repeat((int) Math.ceil((double) WIDTH * bin.examples() / most));
            line("up to %,6d tokens %,8d %s", bin.upTo(), bin.examples(), bar);
        }
    }

    private void row(DataReport.PreviewRow row) {
        line("--- %s, row %d%s", row.where().source(), row.where().row(), coloured ? "" : " (learned: «…»)");
        for (DataReport.Piece piece : row.pieces()) {
            if (coloured) {
                out.append(piece.learned() ? LEARNED : IGNORED)
                        .append(printable(piece.text()))
                        .append(PLAIN);
            } else {
                out.append(piece.learned() ? "«" + piece.text() + "»" : piece.text());
            }
        }
        out.append('\n');
    }

    /** Texts must not steer the terminal. */
    private static String printable(String text) {
        return text.replaceAll("[\\p{Cc}&&[^\\n\\t]]", "\uFFFD");
    }

    private void line(String format, Object... values) {
        out.append(String.format(Locale.ROOT, format, values)).append('\n');
    }
}
