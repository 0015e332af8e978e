package dev.finetune4j.benchmarks;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Properties;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Writes the results of JMH as tables into a Markdown file, between two marks: times, rates, ratios to the dense yardstick of
 * the same run and to what the machine can do at most.
 *
 * <p>Arguments: {@code --results FOLDER --into README.md}. The folder holds, as {@code run.sh} writes them, for each group of
 * benchmarks {@code NAME.json} from JMH and {@code NAME.properties} with {@code load.start} and {@code load.end}, the load
 * averages around it; {@code machine.properties} with the {@code description} of the machine; and {@code limits.properties}, if
 * they were measured ({@link Limits}). Groups come in the order of their names.
 */
public final class BenchmarkTable {
    static final String BEGIN = "<!-- tables: begin, written by run.sh -->";
    static final String END = "<!-- tables: end -->";

    private final Limits limits;
    private final StringBuilder text = new StringBuilder();

    BenchmarkTable(Limits limits) {
        this.limits = limits;
    }

    /** Reads a folder of results and rewrites the part of the file between the marks. */
    public static void main(String[] args) throws IOException {
        Path folder = Path.of(TrainCells.option(args, "--results", "target/results"));
        Path into = Path.of(TrainCells.option(args, "--into", "README.md"));
        String changed = between(Files.readString(into), render(folder), into);
        Files.writeString(into, changed);
    }

    /** @throws IllegalArgumentException if the marks are not there or in the wrong order */
    static String between(String whole, String tables, Path file) {
        int begin = whole.indexOf(BEGIN);
        int end = whole.indexOf(END);
        if (begin < 0 || end < begin) {
            throw new IllegalArgumentException(
                    file + " needs the line " + BEGIN + " and, behind it, the line " + END + " for the tables");
        }
        return whole.substring(0, begin + BEGIN.length()) + "\n" + tables + whole.substring(end);
    }

    /** The tables of all groups in a folder. */
    static String render(Path folder) throws IOException {
        Path limitsFile = folder.resolve("limits.properties");
        BenchmarkTable table = new BenchmarkTable(Files.exists(limitsFile) ? Limits.read(limitsFile) : Limits.none());
        List<Path> files;
        try (Stream<Path> all = Files.list(folder)) {
            files = all.filter(file -> file.toString().endsWith(".json"))
                    .sorted()
                    .toList();
        }
        if (files.isEmpty()) {
            throw new IOException(folder + " holds no result of JMH (*.json); run.sh writes them");
        }
        table.head(properties(folder.resolve("machine.properties")).getProperty("description", "an unknown machine"));
        for (Path file : files) {
            String name = file.getFileName().toString().replace(".json", "");
            table.group(name, Measurement.read(file), properties(folder.resolve(name + ".properties")));
        }
        return table.text.toString();
    }

    private static Properties properties(Path file) throws IOException {
        Properties values = new Properties();
        if (Files.exists(file)) {
            try (Reader reader = Files.newBufferedReader(file)) {
                values.load(reader);
            }
        }
        return values;
    }

    private void head(String machine) {
        String known = limits.describe("cpu");
        text.append("Measured on ").append(machine).append(". Its limits: ");
        text.append(known.isEmpty() ? "not measured" : known).append(".\n");
    }

    /** One table: what all rows share stands above it, what differs in its columns. */
    void group(String name, List<Measurement> rows, Properties load) {
        Map<String, String> shared = new TreeMap<>();
        rows.forEach(row -> shared.putAll(row.parameters()));
        List<String> columns = shared.keySet().stream()
                .filter(key -> !rows.stream().allMatch(row -> row.is(key, shared.getOrDefault(key, ""))))
                .toList();
        shared.keySet().removeAll(columns);
        shared.values().removeIf(String::isEmpty);
        text.append("\n### ").append(name.replaceFirst("^\\d+-", "")).append("\n\n");
        shared.forEach(
                (key, value) -> text.append(key).append(' ').append(value).append(", "));
        text.append("load average ").append(load.getProperty("load.start", "?"));
        text.append(" before, ").append(load.getProperty("load.end", "?")).append(" after\n\n");
        table(rows, columns);
    }

    private void table(List<Measurement> rows, List<String> columns) {
        boolean peaks = rows.stream().anyMatch(row -> row.peakMebibytes().isPresent());
        text.append("| |");
        columns.forEach(column -> text.append(' ').append(column).append(" |"));
        text.append(" ms | rate | of dense | of the limit | heap B/op |").append(peaks ? " peak MiB |" : "");
        text.append("\n|---|").append("---|".repeat(columns.size())).append("--:|--:|--:|--:|--:|");
        text.append(peaks ? "--:|" : "").append('\n');
        for (Measurement row : rows) {
            List<String> cells = new ArrayList<>(List.of(label(row)));
            columns.forEach(column -> cells.add(row.parameters().getOrDefault(column, "")));
            cells.addAll(figures(row, rows));
            if (peaks) {
                cells.add(whole(row.peakMebibytes()));
            }
            text.append("| ").append(String.join(" | ", cells)).append(" |\n");
        }
    }

    private static String label(Measurement row) {
        String subject = row.benchmark().replace("Benchmark", "");
        StringBuilder words = new StringBuilder(subject.toLowerCase(Locale.ROOT)).append(' ');
        for (char letter : row.method().toCharArray()) {
            words.append(Character.isUpperCase(letter) ? " " + Character.toLowerCase(letter) : letter);
        }
        return words.toString();
    }

    private List<String> figures(Measurement row, List<Measurement> rows) {
        Work work = Work.of(row);
        double rate = work.amount() / row.seconds() / work.unit().size;
        OptionalDouble limit = limits.seconds(
                work,
                row.parameters().getOrDefault("device", "cpu"),
                row.parameters().getOrDefault("type", "fp32"));
        return List.of(
                digits(row.seconds() * 1e3),
                digits(rate) + " " + work.unit().label,
                yardstick(row, rows)
                        .map(other -> ratio(other.seconds()
                                / row.seconds()
                                * work.amount()
                                / Work.of(other).amount()))
                        .orElse(""),
                limit.isPresent() ? ratio(limit.getAsDouble() / row.seconds()) : "",
                whole(row.allocated()));
    }

    /** The measurement of the same run that says what the same task costs without quantization and adapter. */
    static Optional<Measurement> yardstick(Measurement row, List<Measurement> rows) {
        return rows.stream()
                .filter(other -> !other.equals(row) && measures(other, row))
                .findFirst();
    }

    private static boolean measures(Measurement other, Measurement row) {
        return switch (row.benchmark()) {
            case "LoraBenchmark" ->
                other.benchmark().equals("LinearBenchmark")
                        && other.method().equals(row.method())
                        && other.is("form", "dense")
                        && other.is("device", row.parameter("device"))
                        && other.is("type", row.parameter("type"))
                        && other.is("tokens", row.parameter("tokens"))
                        && other.is("shape", Work.loraShape(row).toString());
            case "QuantizationBenchmark" ->
                row.method().equals("dequantize") && other.method().equals("copy") && other.sameBut("", row);
            default ->
                other.benchmark().equals(row.benchmark())
                        && other.method().equals(row.method())
                        && other.is("form", "dense")
                        && row.is("form", "nf4")
                        && other.sameBut("form", row);
        };
    }

    private static String ratio(double value) {
        return String.format(Locale.ROOT, "%.2f", value);
    }

    private static String whole(OptionalDouble value) {
        return value.isPresent() ? String.format(Locale.ROOT, "%,.0f", value.getAsDouble()) : "";
    }

    /** Three digits that count. */
    static String digits(double value) {
        int decimals = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : value >= 0.1 ? 3 : 4;
        return String.format(Locale.ROOT, "%,." + decimals + "f", value);
    }
}
