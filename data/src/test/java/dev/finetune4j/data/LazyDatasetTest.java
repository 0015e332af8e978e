package dev.finetune4j.data;

import static dev.finetune4j.data.Fixtures.fails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.data.batch.Encoding;
import dev.finetune4j.data.batch.SftEncoder;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Rows that are read when they are needed are those that are held in memory, errors and batches included. */
class LazyDatasetTest {
    private static final int ROWS = 2500;

    @TempDir
    private Path folder;

    private static Dataset lazy(Path path) {
        return Dataset.read(path, DatasetFormat.auto(), 0);
    }

    private static String question(int i) {
        return "q" + i + (i % 7 == 0 ? " \\\"x\\\", 北京 🙂 }{][" : "") + "\\n" + "y".repeat(i % 50);
    }

    private static String row(int i) {
        return "{\"instruction\": \"" + question(i) + "\", \"output\": \"a" + i + "\"}";
    }

    private Map<String, Path> files() throws IOException {
        Map<String, Path> files = new TreeMap<>();
        StringBuilder lines = new StringBuilder("\uFEFF\n");
        StringBuilder array = new StringBuilder(" \n[");
        StringBuilder table = new StringBuilder("id;instruction;output\r\n\r\n");
        StringBuilder text = new StringBuilder();
        List<String> questions = new ArrayList<>();
        List<String> answers = new ArrayList<>();
        for (int i = 0; i < ROWS; i++) {
            lines.append(row(i)).append(i % 5 == 0 ? "\r\n \t\n" : "\n");
            array.append(i == 0 ? "" : " ,\n").append(row(i));
            String question = question(i).replace("\\\"", "\"").replace("\\n", "\n");
            table.append(i)
                    .append(";\"")
                    .append(question.replace("\"", "\"\""))
                    .append("\";a")
                    .append(i);
            table.append(i % 5 == 0 ? "\r\n;;\n" : "\n");
            text.append("Line ").append(i).append(" 北京 of text.\n").append(i % 9 == 0 ? "\n" : "");
            questions.add(question);
            answers.add("a" + i);
        }
        files.put("lines", Files.writeString(folder.resolve("rows.jsonl"), lines));
        files.put("array", Files.writeString(folder.resolve("rows.json"), array.append("\n]\n")));
        files.put("table", Files.writeString(folder.resolve("rows.csv"), table));
        files.put(
                "text",
                Files.writeString(folder.resolve("book.txt"), text.toString().repeat(20)));
        files.put("parquet", ParquetWriting.write(folder.resolve("rows.parquet"), questions, answers));
        Path packed = folder.resolve("packed.jsonl.gz");
        try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(packed))) {
            out.write(lines.toString().getBytes(StandardCharsets.UTF_8));
        }
        files.put("packed", packed);
        return files;
    }

    @Test
    void theRowsAreTheSameInAnyOrder() throws IOException {
        files().forEach((kind, file) -> {
            Dataset eager = Dataset.read(file);
            Dataset lazy = lazy(file);
            assertTrue(lazy.isLazy() && !eager.isLazy());
            assertEquals(eager.size(), lazy.size(), kind);
            assertEquals(eager.examples(), lazy.examples(), kind);
            for (int i = 0; i < eager.size(); i++) {
                int index = (int) ((i * 7919L) % eager.size());
                assertEquals(eager.examples().get(index), lazy.examples().get(index), kind);
            }
            Dataset.Split split = eager.split(0.2, 3);
            Dataset.Split lazySplit = lazy.split(0.2, 3);
            assertEquals(split.heldOut().examples(), lazySplit.heldOut().examples(), kind);
            assertEquals(
                    split.train().limit(5).examples(),
                    lazySplit.train().limit(5).examples(),
                    kind);
        });
    }

    @Test
    void aFolderIsReadFileByFile() throws IOException {
        Files.createDirectories(folder.resolve("parts"));
        Files.writeString(folder.resolve("parts/1.jsonl"), row(1) + "\n" + row(2));
        Files.writeString(folder.resolve("parts/2.json"), "[" + row(3) + "]");
        Dataset lazy = lazy(folder.resolve("parts"));
        assertEquals(Dataset.read(folder.resolve("parts")).examples(), lazy.examples());
        assertTrue(lazy.examples().get(2).where().source().endsWith("2.json"));
    }

    @Test
    void batchesAreTheSameAndGoOnFromAnyPosition() throws IOException {
        Path file = files().get("lines");
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            SftEncoder encoder = new SftEncoder(new ChatEncoder(tokenizer, ChatTemplate.named("chatml")), 256);
            EncodedDataset eager = encoder.encode(Dataset.read(file));
            EncodedDataset lazy = encoder.encode(lazy(file));
            assertFalse(eager.isLazy());
            assertEquals(ROWS, lazy.report().rows());
            assertEquals(1000, lazy.report().examined());
            BatchLoader expected = new BatchLoader(eager.examples(), 3, 4, 5, new Collator(0, 1), true);
            BatchLoader found = new BatchLoader(lazy, 3, 4, 5, new Collator(0, 1), true);
            assertEquals(expected.stepsPerEpoch(), found.stepsPerEpoch());
            for (int i = 0; i < expected.stepsPerEpoch() + 3; i++) {
                assertSame(expected.next().microBatches(), found.next().microBatches());
                assertEquals(expected.position(), found.position());
                if (i % 40 == 7) {
                    BatchLoader resumed = new BatchLoader(lazy, 3, 4, 5, new Collator(0, 1), true);
                    resumed.seek(found.position());
                    found = resumed;
                }
            }
            // By now each row was dealt out.
            DataReport all = eager.report();
            DataReport counted = lazy.report();
            assertEquals(ROWS, counted.examined());
            assertEquals(
                    List.of(all.totalTokens(), all.targetTokens(), all.answers(), all.answersWithStop()),
                    List.of(
                            counted.totalTokens(),
                            counted.targetTokens(),
                            counted.answers(),
                            counted.answersWithStop()));
            assertEquals(all.longest(), counted.longest());
            assertEquals(all.mean(), counted.mean());
        }
    }

    private static void assertSame(List<Batch> expected, List<Batch> found) {
        assertEquals(expected.size(), found.size());
        for (int i = 0; i < expected.size(); i++) {
            assertArrayEquals(expected.get(i).inputIds(), found.get(i).inputIds());
            assertArrayEquals(expected.get(i).labels(), found.get(i).labels());
        }
    }

    /** Questions, and texts of which each gives several examples: by themselves, packed, and from the cache. */
    @Test
    void rowsThatAreEncodedIntoAFileGiveTheSameBatches() throws IOException {
        Map<String, Path> files = files();
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            ChatEncoder chat = new ChatEncoder(tokenizer, ChatTemplate.named("chatml"));
            for (String name : List.of("lines", "text", "parquet")) {
                Path file = files.get(name);
                int limit = name.equals("text") ? 100 : 48;
                EncodedDataset eager = new SftEncoder(chat, limit, Truncation.SKIP).encode(Dataset.read(file));
                Path cache = folder.resolve("cache-" + name);
                for (Path kept : Arrays.asList(null, cache, cache)) {
                    EncodedDataset stored = new SftEncoder(
                                    chat, new Encoding(limit, Truncation.SKIP, TrainOn.ANSWERS, kept, true))
                            .encode(lazy(file));
                    assertTrue(stored.isLazy());
                    assertEquals(eager.report().totalTokens(), stored.report().totalTokens());
                    assertEquals(eager.report().skipped(), stored.report().skipped());
                    assertEquals(eager.report().longest(), stored.longest());
                    assertPackedAlike(eager, stored, limit);
                    assertDealtAlike(eager, stored);
                }
                try (Stream<Path> all = Files.list(cache)) {
                    assertEquals(1, all.count());
                }
            }
        }
    }

    private static void assertPackedAlike(EncodedDataset eager, EncodedDataset stored, int limit) {
        Collator collator = new Collator(0, new Collator.Multiple(2 * limit), Collator.Layout.PACKED);
        BatchLoader expected = BatchLoader.packed(eager, 2 * limit, Collator.Layout.PACKED, 2, 2, 7, collator);
        BatchLoader found = BatchLoader.packed(stored, 2 * limit, Collator.Layout.PACKED, 2, 2, 7, collator);
        assertEquals(expected.size(), found.size());
        assertEquals(expected.stepsPerEpoch(), found.stepsPerEpoch());
        assertTrue(expected.largestBatch(1) <= found.largestBatch(1));
        for (int i = 0; i < expected.stepsPerEpoch() + 3; i++) {
            assertSame(expected.next().microBatches(), found.next().microBatches());
        }
    }

    /** In order and one by one, since rows that are left out take their places in the steps of the stored ones. */
    private static void assertDealtAlike(EncodedDataset eager, EncodedDataset stored) {
        Collator collator = new Collator(0, 1);
        BatchLoader expected = new BatchLoader(eager, 1, 1, 5, collator, false);
        BatchLoader found = new BatchLoader(stored, 1, 1, 5, collator, false);
        List<Batch> all = new ArrayList<>();
        for (int i = 0; i < expected.stepsPerEpoch(); i++) {
            all.addAll(expected.next().microBatches());
        }
        List<Batch> batches = new ArrayList<>();
        while (batches.size() < all.size()) {
            batches.addAll(found.next().microBatches());
        }
        assertSame(all, batches);
    }

    @Test
    void allThatIsWrongWithRowsThatAreEncodedIntoAFileIsSaidAtOnce() throws IOException {
        Path file = files().get("lines");
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            ChatEncoder chat = new ChatEncoder(tokenizer, ChatTemplate.named("chatml"));
            Encoding encoding = new Encoding(48, Truncation.FAIL, TrainOn.ANSWERS, null, true);
            DatasetException eager = assertThrows(
                    DatasetException.class, () -> new SftEncoder(chat, encoding).encode(Dataset.read(file)));
            DatasetException stored =
                    assertThrows(DatasetException.class, () -> new SftEncoder(chat, encoding).encode(lazy(file)));
            assertEquals(eager.getMessage(), stored.getMessage());
            Encoding none = new Encoding(4, Truncation.SKIP, TrainOn.ANSWERS, null, true);
            fails(() -> new SftEncoder(chat, none).encode(lazy(file)), "this row and all others", ROWS + " in all");
        }
    }

    @Test
    void whatIsWrongIsSaidWithItsPlaceWhenTheRowIsRead() throws IOException {
        Path lines = Files.writeString(
                folder.resolve("x.jsonl"), row(1) + "\n\n" + row(2) + "\n{oops}\n{\"instruction\": \"q\"}\n");
        Dataset dataset = lazy(lines);
        assertEquals(4, dataset.size());
        assertEquals(2, dataset.examples().get(1).texts().size());
        fails(() -> dataset.examples().get(2), "x.jsonl, row 2, line 4, column 2: is not valid JSON");
        fails(() -> dataset.examples().get(3), "x.jsonl, row 3", "\"output\" is missing");
        Path table = Files.writeString(folder.resolve("x.csv"), "instruction,output\nq,\"a\nb\"\nq,a,b\n");
        fails(() -> lazy(table).examples().get(1), "x.csv, row 1, line 4: has 3 cells");
        Path array = Files.writeString(folder.resolve("x.json"), "[" + row(1) + ",\n{\"a\": 1 2}]");
        fails(() -> lazy(array).examples().get(1), "x.json", "line 2, column 9");
        byte[] bytes = (row(1) + "\n" + row(2)).getBytes(StandardCharsets.UTF_8);
        bytes[bytes.length - 4] = (byte) 0xE9;
        Path latin = Files.write(folder.resolve("l.jsonl"), bytes);
        fails(() -> lazy(latin).examples().get(1), "l.jsonl, row 1: holds bytes that are not UTF-8");
        fails(() -> lazy(Files.writeString(folder.resolve("e.jsonl"), "\n")), "is empty");
    }

    @Test
    void aFileThatBecomesShorterIsAnErrorOfItsRow() throws IOException {
        Map<String, Path> files = files();
        for (String name : List.of("lines", "array", "table", "text")) {
            Path file = files.get(name);
            Dataset dataset = lazy(file);
            Example first = dataset.examples().get(0);
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
                channel.truncate(channel.size() / 2);
            }
            int last = dataset.size() - 1;
            fails(() -> dataset.examples().get(last), file + ", row " + last, "has become shorter", "write it again");
            assertEquals(first, dataset.examples().get(0));
        }
    }

    /** The file has a hole of 200 GB behind its first rows, which nobody could look through in that time. */
    @Test
    @DisabledOnOs(OS.WINDOWS)
    void theFirstRowsAreThereBeforeTheFileWasLookedThrough() throws IOException {
        Map<String, Path> files = files();
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            SftEncoder encoder = new SftEncoder(new ChatEncoder(tokenizer, ChatTemplate.named("chatml")), 256);
            for (String name : List.of("lines", "array", "table")) {
                Path file = files.get(name);
                Dataset whole = Dataset.read(file);
                try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
                    channel.write(ByteBuffer.allocate(1), 200L << 30);
                }
                assertTimeoutPreemptively(Duration.ofSeconds(30), () -> {
                    Dataset lazy = lazy(file);
                    assertEquals(whole.examples().get(1500), lazy.examples().get(1500));
                    assertEquals(
                            whole.examples().subList(0, 1200), lazy.limit(1200).examples());
                    assertEquals(
                            whole.examples().subList(0, 20),
                            lazy.examples().stream().limit(20).toList());
                    BatchLoader expected = new BatchLoader(encoder.encode(whole), 3, 4, 5, new Collator(0, 1), false);
                    BatchLoader found =
                            new BatchLoader(encoder.encode(lazy.bind(Map.of())), 3, 4, 5, new Collator(0, 1), false);
                    for (int i = 0; i < 5; i++) {
                        assertSame(expected.next().microBatches(), found.next().microBatches());
                        assertEquals(expected.position(), found.position());
                    }
                });
            }
        }
    }

    @Test
    void aFileThatGrowsOrShrinksBeforeItWasLookedThroughIsTheOneThatWasOpened() throws IOException {
        Path file = Files.writeString(folder.resolve("grows.jsonl"), (row(1) + "\n").repeat(30_000));
        Dataset before = lazy(file);
        Files.writeString(file, (row(2) + "\n").repeat(30_000), StandardOpenOption.APPEND);
        assertEquals(30_000, before.size());
        Dataset longer = lazy(file);
        assertEquals("a1", longer.examples().get(7).texts().get(1));
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.truncate(channel.size() / 2);
        }
        fails(longer::size, file.toString(), "cannot be read to its end", "has become shorter");
    }

    @Test
    void aFileThatIsReplacedIsReadOnAsItWas() throws IOException {
        Path file = files().get("lines");
        Dataset dataset = lazy(file);
        Dataset before = Dataset.read(file);
        Files.move(Files.writeString(folder.resolve("new"), row(1)), file, StandardCopyOption.REPLACE_EXISTING);
        assertEquals(before.examples(), dataset.examples());
        assertEquals(1, lazy(file).size());
    }

    @Test
    void anInterruptOfWhoeverReadsDoesNoHarm() throws IOException {
        Map<String, Path> files = files();
        for (String name : List.of("lines", "packed", "parquet")) {
            Dataset dataset = lazy(files.get(name));
            Example last = dataset.examples().get(ROWS - 1);
            Thread.currentThread().interrupt();
            assertEquals(last, dataset.examples().get(ROWS - 1), name);
            assertTrue(Thread.interrupted());
            assertEquals(ROWS, dataset.examples().stream().distinct().count(), name);
        }
    }

    private static Set<Path> temporaryFiles() throws IOException {
        try (Stream<Path> all = Files.list(Path.of(System.getProperty("java.io.tmpdir")))) {
            return all.filter(file -> file.getFileName().toString().startsWith("finetune4j-rows"))
                    .collect(Collectors.toSet());
        }
    }

    /** Not even for a process that is killed; on Windows they go when the process ends. */
    @Test
    @DisabledOnOs(OS.WINDOWS)
    void temporaryFilesLeaveNoNameBehind() throws IOException, InterruptedException {
        Set<Path> before = temporaryFiles();
        Map<String, Path> files = files();
        Dataset packed = lazy(files.get("packed"));
        Dataset parquet = lazy(files.get("parquet"));
        for (int i : new int[] {7, 3, ROWS - 1, 0}) {
            assertEquals(
                    packed.examples().get(i).texts(), parquet.examples().get(i).texts());
        }
        byte[] sound = Files.readAllBytes(files.get("packed"));
        Path damaged = Files.write(folder.resolve("damaged.jsonl.gz"), Arrays.copyOf(sound, sound.length / 2));
        fails(() -> lazy(damaged), "cut off or damaged");
        Set<Path> left = temporaryFiles();
        left.removeAll(before);
        // Another process may have made one meanwhile, which goes soon.
        for (int i = 0; i < 100 && left.stream().anyMatch(Files::exists); i++) {
            Thread.sleep(50);
        }
        assertEquals(Set.of(), left.stream().filter(Files::exists).collect(Collectors.toSet()));
    }

    @Test
    void aFileWithinAnArchiveIsReadToo() throws IOException {
        Path file = files().get("table");
        URI archive = URI.create("jar:" + folder.resolve("rows.zip").toUri());
        try (FileSystem inside = FileSystems.newFileSystem(archive, Map.of("create", "true"))) {
            Path copy = Files.copy(file, inside.getPath("/rows.csv"));
            List<List<String>> expected =
                    lazy(file).examples().stream().map(Example::texts).toList();
            assertEquals(
                    expected, lazy(copy).examples().stream().map(Example::texts).toList());
        }
    }

    @Test
    void placeholdersAreLookedForInEachRow() throws IOException {
        Path file = Files.writeString(
                folder.resolve("p.jsonl"),
                "{\"instruction\": \"q\", \"output\": \"{{name}}\"}\n".repeat(1200)
                        + "{\"instruction\": \"q\", \"output\": \"{{other}}\"}\n");
        Dataset dataset = lazy(file);
        fails(dataset::requireReady, "row 0", "{{name}}");
        Dataset bound = dataset.bind(Map.of("name", "Aria"));
        bound.requireReady();
        assertEquals("Aria", bound.examples().get(1199).texts().get(1));
        fails(() -> bound.examples().get(1200), "row 1200", "{{other}}");
    }
}
