package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EncodingCacheTest {
    private static final int LIMIT = 40;

    @TempDir
    private Path folder;

    private final AtomicInteger encoded = new AtomicInteger();

    private EncodedChat letters(Conversation conversation) {
        encoded.incrementAndGet();
        String question = conversation.messages().get(0).content();
        String text = question + conversation.messages().get(1).content();
        boolean[] trained = new boolean[text.length()];
        Arrays.fill(trained, question.length(), text.length(), true);
        return new EncodedChat(text.chars().toArray(), trained);
    }

    private EncodedDataset encode(Dataset dataset, int limit) {
        Encoding encoding = new Encoding(limit, Truncation.SKIP, TrainOn.ANSWERS, folder.resolve("cache"), false);
        return new SftEncoder(this::letters, Set.of((int) '.'), encoding).encode(dataset);
    }

    private static Dataset dataset(int rows) {
        List<Example> examples = new ArrayList<>();
        for (int i = 0; i < rows; i++) {
            examples.add(SftExample.of("Question " + i + "?", "A" + "b".repeat(i % 30) + "."));
        }
        examples.add(SftExample.of("Last?", "End."));
        return Dataset.of(examples);
    }

    private Path file() throws IOException {
        try (Stream<Path> files = Files.list(folder.resolve("cache"))) {
            List<Path> all = files.toList();
            assertEquals(1, all.size(), all.toString());
            return all.get(0);
        }
    }

    private static void assertSame(EncodedDataset expected, EncodedDataset found) {
        assertEquals(expected.size(), found.size());
        for (int i = 0; i < expected.size(); i++) {
            EncodedSequence one = expected.examples().get(i).sequences().get(0);
            EncodedSequence other = found.examples().get(i).sequences().get(0);
            assertArrayEquals(one.inputIds(), other.inputIds());
            assertArrayEquals(one.labels(), other.labels());
        }
        assertEquals(expected.report(), found.report());
    }

    @Test
    void theSameRowsAreNotEncodedAgainAndOthersAre() {
        EncodedDataset first = encode(dataset(200), LIMIT);
        assertTrue(first.report().skipped() > 0, "rows that are left out are kept as such");
        int before = encoded.get();
        assertSame(first, encode(dataset(200), LIMIT));
        assertEquals(before, encoded.get());
        encode(dataset(199), LIMIT);
        assertTrue(encoded.get() >= before + 199, "other rows are encoded");
        before = encoded.get();
        encode(dataset(200), LIMIT - 1);
        assertTrue(encoded.get() >= before + 200, "other settings are encoded");
    }

    @Test
    void aDamagedFileIsMadeAnew() throws IOException {
        EncodedDataset first = encode(dataset(80), LIMIT);
        byte[] sound = Files.readAllBytes(file());
        Random random = new Random(3);
        for (int i = 0; i < 60; i++) {
            byte[] damaged = i % 3 == 0 ? Arrays.copyOf(sound, random.nextInt(sound.length)) : sound.clone();
            if (i % 3 == 1) {
                damaged[random.nextInt(damaged.length)] ^= (byte) (1 << random.nextInt(8));
            } else if (i % 3 == 2) {
                damaged = Arrays.copyOf(sound, sound.length + 1);
            }
            Files.write(file(), damaged);
            assertSame(first, encode(dataset(80), LIMIT));
            assertArrayEquals(sound, Files.readAllBytes(file()), "change " + i);
        }
    }

    @Test
    void severalMayFillItAtOnce() throws IOException {
        EncodedDataset expected = encode(dataset(100), LIMIT);
        Files.delete(file());
        List<EncodedDataset> found = IntStream.range(0, 8)
                .parallel()
                .mapToObj(i -> encode(dataset(100), LIMIT))
                .toList();
        found.forEach(each -> assertSame(expected, each));
        int before = encoded.get();
        assertSame(expected, encode(dataset(100), LIMIT));
        assertEquals(before, encoded.get());
        file();
    }

    @Test
    void aFolderThatCannotBeWrittenToIsNoHindrance() throws IOException {
        Files.writeString(folder.resolve("cache"), "a file");
        assertEquals(11, encode(dataset(10), LIMIT).size());
    }

    @Test
    void whatIsWrongIsSaidEachTime() {
        Dataset bad = Dataset.of(List.of(SftExample.of("q", "a")));
        Encoding encoding = new Encoding(2, Truncation.FAIL, TrainOn.ANSWERS, folder.resolve("cache"), false);
        SftEncoder encoder = new SftEncoder(
                conversation -> new EncodedChat(new int[] {1, 2, 3}, new boolean[3]), Set.of(), encoding);
        for (int i = 0; i < 2; i++) {
            assertThrows(DatasetException.class, () -> encoder.encode(bad));
        }
    }

    private static void write(List<Example> examples, ChatEncoder encoder, Encoding encoding) {
        new SftEncoder(encoder, encoding).encode(Dataset.of(examples));
    }

    private int files() throws IOException {
        try (Stream<Path> files = Files.list(folder.resolve("cache"))) {
            return (int) files.count();
        }
    }

    /** Each of them alone makes other tokens or labels, so a file of its own. */
    @Test
    void whateverMakesOtherTokensMakesAnotherFile() throws IOException {
        Path cache = folder.resolve("cache");
        Encoding encoding = new Encoding(64, Truncation.SKIP, TrainOn.ANSWERS, cache, false);
        List<Example> rows = List.of(SftExample.of("Hi?", "Ho."));
        Path source = TestData.resource("text/bytelevel");
        Path other = Files.createDirectory(folder.resolve("other"));
        Files.copy(source.resolve("tokenizer_config.json"), other.resolve("tokenizer_config.json"));
        String definition = Files.readString(source.resolve("tokenizer.json"));
        Files.writeString(other.resolve("tokenizer.json"), definition + "\n");
        try (Tokenizer tokenizer = Tokenizer.load(source);
                Tokenizer changed = Tokenizer.load(other)) {
            ChatTemplate chatml = ChatTemplate.named("chatml");
            ChatEncoder encoder = new ChatEncoder(tokenizer, chatml);
            String jinja = chatml.jinjaSource();
            List<Runnable> others = List.of(
                    () -> write(rows, encoder, encoding),
                    () -> write(rows, encoder, new Encoding(63, Truncation.SKIP, TrainOn.ANSWERS, cache, false)),
                    () -> write(rows, encoder, new Encoding(64, Truncation.CUT_SOURCE, TrainOn.ANSWERS, cache, false)),
                    () -> write(rows, encoder, new Encoding(64, Truncation.SKIP, TrainOn.EVERYTHING, cache, false)),
                    () -> write(rows, new ChatEncoder(changed, chatml), encoding),
                    () -> write(rows, new ChatEncoder(tokenizer, chatml, Set.of(9)), encoding),
                    () -> write(rows, new ChatEncoder(tokenizer, ChatTemplate.named("zephyr")), encoding),
                    () -> write(rows, new ChatEncoder(tokenizer, chatml.withDefaultSystem("Be kind.")), encoding),
                    () -> write(rows, new ChatEncoder(tokenizer, ChatTemplate.jinja(jinja, tokenizer)), encoding),
                    () -> write(
                            rows,
                            new ChatEncoder(
                                    tokenizer,
                                    ChatTemplate.jinja(jinja, tokenizer).withDefaultSystem("Be kind.")),
                            encoding),
                    () -> write(List.of(SftExample.of("Hi", "?Ho.")), encoder, encoding),
                    () -> write(List.of(rows.get(0), rows.get(0)), encoder, encoding));
            for (int i = 0; i < others.size(); i++) {
                for (int again = 0; again < 2; again++) {
                    others.get(i).run();
                    assertEquals(i + 1, files(), "change " + i);
                }
            }
        }
    }

    @Test
    void fieldsThatPrintAlikeAreNotTheSame() {
        EncodingCache cache = new EncodingCache(folder, "x");
        List<Path> files = new ArrayList<>();
        for (Map<String, @Nullable Object> fields : List.<Map<String, @Nullable Object>>of(
                Map.of(),
                Map.of("a", 1),
                Map.of("a", 1L),
                Map.of("a", "1"),
                Map.of("a", List.of("1")),
                Map.of("a", List.of("1, 2")),
                Map.of("a", List.of("1", "2")),
                Map.of("a", "1, b=2"),
                Map.of("a", Map.of("b", "2")),
                Map.of("a", "{b=2}"),
                Map.of("a", "null"),
                Collections.singletonMap("a", null))) {
            ChatMessage answer = new ChatMessage(Role.ASSISTANT, "b", fields);
            Example example = SftExample.of(Conversation.of(ChatMessage.user("a"), answer));
            files.add(cache.file(List.of(example)));
            assertEquals(files.get(files.size() - 1), cache.file(List.of(example)));
        }
        SftExample weighted = new SftExample(
                Conversation.of(ChatMessage.user("a"), ChatMessage.assistant("b")),
                List.of(0.0, 1.0),
                new Provenance("x", 0));
        files.add(cache.file(List.of(weighted)));
        files.add(cache.file(List.of(new TextExample("a", new Provenance("x", 0)))));
        files.add(new EncodingCache(folder, "y").file(List.of(weighted)));
        assertEquals(files.size(), Set.copyOf(files).size());
    }

    @Test
    void aFileOfAnotherVersionIsMadeAnew() throws IOException {
        EncodedDataset first = encode(dataset(20), LIMIT);
        byte[] sound = Files.readAllBytes(file());
        byte[] older = sound.clone();
        older["finetune4j-encoded-".length() + 2]--;
        CRC32 sum = new CRC32();
        sum.update(older, 0, older.length - Long.BYTES);
        ByteBuffer.wrap(older).putLong(older.length - Long.BYTES, sum.getValue());
        Files.write(file(), older);
        int before = encoded.get();
        assertSame(first, encode(dataset(20), LIMIT));
        assertTrue(encoded.get() >= before + 20, "rows of another version are not taken");
        assertArrayEquals(sound, Files.readAllBytes(file()));
    }

    private static PreferenceExample pair(int i) {
        return PreferenceExample.of("Question " + i + "?", "Yes" + " yes".repeat(i % 4) + ".", "No.");
    }

    private static List<EncodedExample> compared(
            @Nullable Path cache, Class<? extends Example> kind, List<Example> rows) {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            return new ComparisonEncoder(
                            new ChatEncoder(tokenizer, ChatTemplate.named("chatml")),
                            new Encoding(64, Truncation.FAIL, TrainOn.ANSWERS, cache, false),
                            kind)
                    .encode(Dataset.of(rows))
                    .examples();
        }
    }

    private static List<String> shown(List<EncodedExample> examples) {
        return examples.stream()
                .flatMap(example -> example.sequences().stream())
                .map(sequence ->
                        sequence.kind() + Arrays.toString(sequence.inputIds()) + Arrays.toString(sequence.labels()))
                .toList();
    }

    @Test
    void comparedAnswersAreKeptToo() throws IOException {
        Path pairs = folder.resolve("pairs");
        Path judged = folder.resolve("judged");
        List<Example> rows = new ArrayList<>();
        List<Example> answers = new ArrayList<>();
        for (int i = 0; i < 70; i++) {
            rows.add(pair(i));
            answers.add(KtoExample.of("Question " + i + "?", "A" + i + ".", i % 3 == 0));
        }
        for (int again = 0; again < 2; again++) {
            assertEquals(
                    shown(compared(null, PreferenceExample.class, rows)),
                    shown(compared(pairs, PreferenceExample.class, rows)));
            assertEquals(
                    shown(compared(null, KtoExample.class, answers)),
                    shown(compared(judged, KtoExample.class, answers)));
        }
        // What the file of other rows holds is what they become: they are read, not encoded.
        List<Example> others = new ArrayList<>(rows.subList(1, 70));
        others.add(pair(70));
        Path first = onlyFile(pairs);
        byte[] kept = Files.readAllBytes(first);
        Files.delete(first);
        compared(pairs, PreferenceExample.class, others);
        Files.write(onlyFile(pairs), kept);
        assertEquals(
                shown(compared(null, PreferenceExample.class, rows)),
                shown(compared(pairs, PreferenceExample.class, others)));
    }

    private static Path onlyFile(Path cache) throws IOException {
        try (Stream<Path> files = Files.list(cache)) {
            List<Path> all = files.toList();
            assertEquals(1, all.size(), all.toString());
            return all.get(0);
        }
    }

    @Test
    void pairsAreToldApartByAllTheyHave() {
        EncodingCache cache = new EncodingCache(folder, "x");
        Conversation prompt = Conversation.of(ChatMessage.user("a"));
        ChatMessage yes = ChatMessage.assistant("b");
        ChatMessage no = ChatMessage.assistant("c");
        ChatMessage thought = new ChatMessage(Role.ASSISTANT, "b", Map.of("reasoning_content", "c"));
        ChatMessage doubt = new ChatMessage(Role.ASSISTANT, "c", Map.of("reasoning_content", "c"));
        Provenance place = new Provenance("x", 0);
        List<Example> examples = List.of(
                new PreferenceExample(prompt, yes, no, place),
                new PreferenceExample(prompt, thought, no, place),
                new PreferenceExample(prompt, yes, doubt, place),
                new KtoExample(prompt.with(yes), true, place),
                new KtoExample(prompt.with(yes), false, place),
                new KtoExample(prompt.with(thought), true, place));
        assertEquals(
                examples.size(),
                examples.stream()
                        .map(each -> cache.file(List.of(each)))
                        .distinct()
                        .count());
    }
}
