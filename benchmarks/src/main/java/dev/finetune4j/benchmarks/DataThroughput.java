package dev.finetune4j.benchmarks;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.data.batch.SftEncoder;
import java.io.BufferedWriter;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.example.data.simple.SimpleGroupFactory;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.example.ExampleParquetWriter;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.LocalOutputFile;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.MessageTypeParser;

/**
 * How quickly a large file becomes packed batches, beside what the tokenizer does with the same texts and nothing else.
 *
 * <p>{@code make FILE MEGABYTES} writes a file of generated rows, as JSON lines, CSV or Parquet by its name; {@code
 * measure FILE TOKENIZER} prints the time of the scan, of the first batch in order and shuffled, and the rates, which are
 * measured in turns. Run it with {@code -Xmx256m}.
 */
public final class DataThroughput {
    private static final int SAMPLE = 6000;
    private static final int TURNS = 11;
    private static final long ROW_GROUP = 128L << 20;
    private static final int MICRO_BATCH = 8;
    private static final long SEED = 1;
    private static final String[] WORDS =
            ("the model learns from examples that are good and short while rows of a table hold questions answers"
                            + " 小模型 可以 从 几百个 好的 例子 中 学会 一项 新任务 回答 问题")
                    .split(" ");

    private DataThroughput() {}

    public static void main(String[] args) throws IOException, InterruptedException, ExecutionException {
        if (args[0].equals("make")) {
            make(Path.of(args[1]), Long.parseLong(args[2]) << 20);
        } else {
            measure(Path.of(args[1]), Path.of(args[2]));
        }
    }

    private static void make(Path file, long bytes) throws IOException {
        if (file.toString().endsWith(".parquet")) {
            makeParquet(file, bytes);
            return;
        }
        boolean table = file.toString().endsWith(".csv");
        Random random = new Random(SEED);
        long written = 0;
        try (BufferedWriter out = Files.newBufferedWriter(file)) {
            out.write(table ? "instruction,input,output\n" : "");
            for (int i = 0; written < bytes; i++) {
                String question = question(random, i);
                String answer = answer(random);
                String row = table
                        ? "\"" + question.replace("\"", "\"\"") + "\",,\"" + answer + "\"\n"
                        : "{\"instruction\": \"" + question.replace("\"", "\\\"")
                                + "\", \"input\": \"\", \"output\": \""
                                + answer + "\"}\n";
                out.write(row);
                written += row.getBytes(StandardCharsets.UTF_8).length;
            }
        }
    }

    /** Packed with Snappy, as most programs do. */
    private static void makeParquet(Path file, long bytes) throws IOException {
        MessageType type = MessageTypeParser.parseMessageType("message row { optional binary instruction (STRING);"
                + " optional binary input (STRING); optional binary output (STRING); }");
        Random random = new Random(SEED);
        try (ParquetWriter<Group> writer = ExampleParquetWriter.builder(new LocalOutputFile(file))
                .withConf(new PlainParquetConfiguration())
                .withType(type)
                .withRowGroupSize(ROW_GROUP)
                .withCompressionCodec(CompressionCodecName.SNAPPY)
                .build()) {
            SimpleGroupFactory rows = new SimpleGroupFactory(type);
            for (int i = 0; writer.getDataSize() < bytes; i++) {
                writer.write(rows.newGroup()
                        .append("instruction", question(random, i))
                        .append("input", "")
                        .append("output", answer(random)));
            }
        }
    }

    private static String question(Random random, int row) {
        return "Row " + row + ", \"quoted\": " + words(random, 10);
    }

    private static String answer(Random random) {
        return words(random, 40 + random.nextInt(160));
    }

    private static String words(Random random, int count) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < count; i++) {
            text.append(i == 0 ? "" : " ").append(WORDS[random.nextInt(WORDS.length)]);
        }
        return text.toString();
    }

    private static void measure(Path file, Path tokenizerFolder)
            throws IOException, InterruptedException, ExecutionException {
        double megabytes = Files.size(file) / 1e6;
        try (Tokenizer tokenizer = Tokenizer.load(tokenizerFolder)) {
            SftEncoder encoder = new SftEncoder(new ChatEncoder(tokenizer, ChatTemplate.named("chatml")), 2048);
            long start = System.nanoTime();
            Dataset dataset = Dataset.read(file);
            EncodedDataset data = encoder.encode(dataset);
            Collator collator = new Collator(0, new Collator.FewSizes(), Collator.Layout.PACKED);
            new BatchLoader(data, MICRO_BATCH, 1, SEED, collator, false).next();
            print("first batch in order after %.2f s", seconds(start));
            start = System.nanoTime();
            int rows = dataset.size();
            double scan = seconds(start);
            print("scan %.2f s, %.0f MB/s", scan, megabytes / scan);
            print("%s: %.0f MB, %,d rows, %s", file.getFileName(), megabytes, rows, data.report());
            start = System.nanoTime();
            BatchLoader loader = new BatchLoader(data, MICRO_BATCH, 1, SEED, collator, true);
            loader.next();
            double shuffled = scan + seconds(start);
            print("first batch shuffled after %.2f s, %.0f MB/s of the file", shuffled, megabytes / shuffled);
            print("the first %,d rows shuffled: %.0f a second", SAMPLE, rowsPerSecond(loader));
            inTurns(tokenizer, dataset, loader);
            print("one thread %.2f MB/s", bare(tokenizer, dataset, 1));
        }
        long used = ManagementFactory.getMemoryPoolMXBeans().stream()
                .filter(pool -> pool.getType() == MemoryType.HEAP)
                .map(MemoryPoolMXBean::getPeakUsage)
                .mapToLong(usage -> usage.getUsed())
                .sum();
        print("heap: at most %d MB of %d MB", used >> 20, Runtime.getRuntime().maxMemory() >> 20);
    }

    /** What else the machine does meets both alike. */
    private static void inTurns(Tokenizer tokenizer, Dataset dataset, BatchLoader loader)
            throws InterruptedException, ExecutionException {
        double perRow = megabytes(texts(dataset)) / SAMPLE;
        List<Double> bare = new ArrayList<>();
        List<Double> batches = new ArrayList<>();
        List<Double> share = new ArrayList<>();
        for (int turn = 0; turn <= TURNS; turn++) {
            double alone = bare(tokenizer, dataset);
            double dealt = perRow * rowsPerSecond(loader);
            if (turn > 0) {
                bare.add(alone);
                batches.add(dealt);
                share.add(100 * dealt / alone);
            }
        }
        print(
                "tokenizer alone on %d threads %.2f MB/s; batches %.2f MB/s; %.0f %% in the median of %d turns",
                Runtime.getRuntime().availableProcessors(), median(bare), median(batches), median(share), TURNS);
    }

    private static double median(List<Double> values) {
        return values.stream().sorted().toList().get(values.size() / 2);
    }

    private static double bare(Tokenizer tokenizer, Dataset dataset) throws InterruptedException, ExecutionException {
        return bare(tokenizer, dataset, Runtime.getRuntime().availableProcessors());
    }

    /** Text in MB/s, of rows that are in memory already. */
    private static double bare(Tokenizer tokenizer, Dataset dataset, int threads)
            throws InterruptedException, ExecutionException {
        List<String> texts = texts(dataset);
        ExecutorService workers = Executors.newFixedThreadPool(threads);
        long start = System.nanoTime();
        List<Future<?>> tasks = new ArrayList<>();
        for (int i = 0; i < texts.size(); i += 64) {
            List<String> some = texts.subList(i, Math.min(texts.size(), i + 64));
            tasks.add(workers.submit(() -> some.forEach(tokenizer::encode)));
        }
        for (Future<?> task : tasks) {
            task.get();
        }
        double seconds = seconds(start);
        workers.shutdown();
        return megabytes(texts) / seconds;
    }

    private static List<String> texts(Dataset dataset) {
        List<String> texts = new ArrayList<>();
        for (Example example : dataset.examples().subList(0, SAMPLE)) {
            texts.addAll(example.texts());
        }
        return texts;
    }

    /** Rows that are read, encoded and packed. */
    private static double rowsPerSecond(BatchLoader loader) {
        long start = System.nanoTime();
        long rows = 0;
        for (int i = 0; i < SAMPLE / MICRO_BATCH; i++) {
            for (Batch batch : loader.next().microBatches()) {
                rows += batch.examples();
            }
        }
        return rows / seconds(start);
    }

    private static double megabytes(List<String> texts) {
        return texts.stream()
                        .mapToLong(text -> text.getBytes(StandardCharsets.UTF_8).length)
                        .sum()
                / 1e6;
    }

    private static double seconds(long start) {
        return (System.nanoTime() - start) / 1e9;
    }

    private static void print(String format, Object... values) {
        System.out.println(String.format(Locale.ROOT, format, values));
    }
}
