package dev.finetune4j.benchmarks;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.data.batch.SftEncoder;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * From text to token ids and back, and from conversations to training examples with their labels. The text is half English,
 * half Chinese; the tokenizer is byte-level BPE.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class TextBenchmark {
    private static final String PIECE =
            "A small model learns a new task from a few hundred examples, if they are good. "
                    + "小模型可以从几百个好的例子中学会一项新任务,前提是这些例子写得清楚、前后一致,并且没有互相矛盾的地方。"
                    + "它不需要记住所有的事实,只需要学会怎样回答。\n";
    private static final int LONGEST = 4096;

    /** A folder with a tokenizer.json; the bundled tokenizer when it is empty. */
    @Param("")
    private String tokenizer;

    /** Length of the text. */
    @Param("4096")
    private int characters;

    /** Conversations of a data set. */
    @Param("256")
    private int rows;

    private Tokenizer loaded;
    private SftEncoder encoder;
    private Dataset dataset;
    private String text;
    private int[] ids;

    /** Loads the tokenizer and makes the texts. */
    @Setup(Level.Trial)
    public void setUp() throws IOException {
        loaded = tokenizer.isEmpty() ? bundled() : Tokenizer.load(Path.of(tokenizer));
        encoder = new SftEncoder(new ChatEncoder(loaded, ChatTemplate.named("chatml")), LONGEST);
        dataset = Dataset.of(Collections.nCopies(rows, SftExample.of("Why does a small model learn?", PIECE)));
        text = PIECE.repeat(characters / PIECE.length() + 1).substring(0, characters);
        ids = loaded.encode(text);
    }

    private static Tokenizer bundled() throws IOException {
        Path folder = Files.createTempDirectory("tokenizer");
        try {
            for (String name : new String[] {"tokenizer.json", "tokenizer_config.json"}) {
                try (InputStream file = TextBenchmark.class.getResourceAsStream("tokenizer/" + name)) {
                    Files.copy(Objects.requireNonNull(file, name), folder.resolve(name));
                }
            }
            return Tokenizer.load(folder);
        } finally {
            Files.deleteIfExists(folder.resolve("tokenizer.json"));
            Files.deleteIfExists(folder.resolve("tokenizer_config.json"));
            Files.delete(folder);
        }
    }

    /** Frees the tokenizer. */
    @TearDown(Level.Trial)
    public void tearDown() {
        loaded.close();
    }

    /** Text to ids. */
    @Benchmark
    public int[] encode() {
        return loaded.encode(text);
    }

    /** Ids to text. */
    @Benchmark
    public String decode() {
        return loaded.decode(ids);
    }

    /** A data set to training examples. */
    @Benchmark
    public EncodedDataset examples() {
        return encoder.encode(dataset);
    }
}
