package dev.finetune4j.data.batch;

import static dev.finetune4j.data.Fixtures.fails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.Fixtures;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.testsupport.TestData;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** From conversations to ids and labels, by exact ids of a small real tokenizer and by a toy one for lengths. */
class SftEncoderTest {
    private static final int NO = Labels.IGNORE;
    private static Tokenizer tokenizer;
    private static ChatEncoder chat;

    @BeforeAll
    static void loadTokenizer() {
        tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"));
        chat = new ChatEncoder(tokenizer, ChatTemplate.named("chatml"));
    }

    @AfterAll
    static void closeTokenizer() {
        tokenizer.close();
    }

    /** One token for each message, trained if it is an answer; its id is the first character. */
    private static EncodedChat toy(Conversation conversation) {
        List<ChatMessage> messages = conversation.messages();
        EncodedChat encoded = new EncodedChat(new int[messages.size()], new boolean[messages.size()]);
        for (int i = 0; i < messages.size(); i++) {
            encoded.ids()[i] = messages.get(i).content().charAt(0);
            encoded.trained()[i] = messages.get(i).role() == Role.ASSISTANT;
        }
        return encoded;
    }

    private static Encoding encoding(int maxLength, Truncation truncation) {
        return new Encoding(maxLength, truncation, TrainOn.ANSWERS);
    }

    private static SftEncoder toyEncoder(int maxLength, Truncation truncation) {
        return new SftEncoder(SftEncoderTest::toy, Set.of((int) 'b', (int) 'f'), encoding(maxLength, truncation));
    }

    private static void assertCounts(List<? extends Number> expected, DataReport report) {
        List<Number> found = List.of(
                report.rows(),
                report.skipped(),
                report.truncated(),
                report.totalTokens(),
                report.targetTokens(),
                report.longest(),
                report.mean(),
                report.answers(),
                report.answersWithStop());
        assertEquals(
                expected.stream().map(Number::doubleValue).toList(),
                found.stream().map(Number::doubleValue).toList());
    }

    /** Turns of two messages, the letters in order, after a system message if asked for. */
    private static EncodedSequence only(EncodedExample example) {
        assertEquals(1, example.sequences().size());
        return example.sequences().get(0);
    }

    private static SftExample turns(boolean system, String letters) {
        List<ChatMessage> messages = new ArrayList<>();
        if (system) {
            messages.add(ChatMessage.system("s"));
        }
        for (int i = 0; i < letters.length(); i++) {
            String letter = letters.substring(i, i + 1);
            messages.add(i % 2 == 0 ? ChatMessage.user(letter) : ChatMessage.assistant(letter));
        }
        return SftExample.of(new Conversation(messages));
    }

    private static String letters(EncodedExample example) {
        return new String(only(example).inputIds(), 0, only(example).length());
    }

    @Test
    void labelsAreTheNextIdsOfTheAnswerAndItsEnd() {
        Conversation conversation = Conversation.of(
                ChatMessage.system("You are helpful."), ChatMessage.user(" Hi "), ChatMessage.assistant("Hello!"));
        EncodedDataset encoded = new SftEncoder(chat, 64).encode(Dataset.of(List.of(SftExample.of(conversation))));
        EncodedExample example = encoded.examples().get(0);
        assertArrayEquals(
                new int[] {
                    1, 89, 370, 281, 205, 63, 287, 432, 490, 76, 91, 82, 20, 2, 205, 1, 368, 205, 227, 46, 79, 227, 2,
                    205, 1, 71, 289, 307, 205, 465, 7, 2, 205
                },
                only(example).inputIds());
        int[] labels = IntStream.range(0, 33).map(i -> NO).toArray();
        labels[28] = 465;
        labels[29] = 7;
        labels[30] = 2;
        assertArrayEquals(labels, only(example).labels());
        assertCounts(List.of(1, 0, 0, 33, 3, 33, 33, 1, 1), encoded.report());
    }

    @Test
    void everyAnswerOfAConversationIsLearned() {
        Conversation conversation = Conversation.of(
                ChatMessage.user("你好,你是谁?"),
                ChatMessage.assistant("Hello!"),
                ChatMessage.user("2+2?"),
                ChatMessage.assistant("Hello!"));
        EncodedExample example = new SftEncoder(chat, 64)
                .encode(Dataset.of(List.of(SftExample.of(conversation))))
                .examples()
                .get(0);
        assertArrayEquals(
                new int[] {
                    1, 368, 205, 482, 18, 389, 308, 171, 115, 230, 37, 2, 205, 1, 71, 289, 307, 205, 465, 7, 2, 205, 1,
                    368, 205, 24, 17, 24, 37, 2, 205, 1, 71, 289, 307, 205, 465, 7, 2, 205
                },
                only(example).inputIds());
        assertEquals(
                Map.of(17, 465, 18, 7, 19, 2, 35, 465, 36, 7, 37, 2),
                IntStream.range(0, only(example).length())
                        .filter(i -> only(example).labels()[i] != NO)
                        .boxed()
                        .collect(Collectors.toMap(i -> i, i -> only(example).labels()[i])));
    }

    @Test
    void trainingSeesThePromptThatChatSees() {
        Conversation prompt = Conversation.of(ChatMessage.user("Where is 北京?"));
        int[] asked = chat.encode(prompt, true).ids();
        EncodedExample example = new SftEncoder(chat, 64)
                .encode(Dataset.of(List.of(SftExample.of(prompt.with(ChatMessage.assistant("中国"))))))
                .examples()
                .get(0);
        assertArrayEquals(asked, Arrays.copyOf(only(example).inputIds(), asked.length));
        for (int i = 0; i < asked.length - 1; i++) {
            assertEquals(NO, only(example).labels()[i], "the prompt is not learned");
        }
        assertEquals(only(example).inputIds()[asked.length], only(example).labels()[asked.length - 1]);
    }

    @Test
    void aRowThatIsTooLongIsAnError() {
        SftEncoder encoder = toyEncoder(3, Truncation.FAIL);
        DatasetException failure = fails(
                () -> encoder.encode(
                        Dataset.of(List.of(turns(false, "ab"), turns(false, "abcd"), turns(true, "abcd")))),
                "in-memory examples, row 1: has 4 tokens, more than the limit of 3; raise maxSequenceLength",
                "row 2: has 5 tokens",
                "Truncation.SKIP",
                "Truncation.DROP_OLDEST_TURNS");
        assertEquals(2, failure.count());
    }

    @Test
    void failIsTheDefaultAndTheLimitItselfFits() {
        Dataset dataset = Dataset.of(List.of(SftExample.of("你好,你是谁?", "Hello!")));
        assertEquals(22, new SftEncoder(chat, 22).encode(dataset).report().longest());
        fails(() -> new SftEncoder(chat, 21).encode(dataset), "row 0: has 22 tokens, more than the limit of 21");
    }

    @Test
    void skippedRowsAreCounted() {
        EncodedDataset encoded = toyEncoder(3, Truncation.SKIP)
                .encode(Dataset.of(List.of(turns(false, "abcd"), turns(false, "xy"), turns(true, "vw"))));
        assertEquals(
                List.of("xy", "svw"),
                encoded.examples().stream().map(SftEncoderTest::letters).toList());
        assertCounts(List.of(3, 1, 0, 5, 2, 3, 2.5, 2, 0), encoded.report());
    }

    @Test
    void skippingEverythingIsAnError() {
        fails(
                () -> toyEncoder(2, Truncation.SKIP)
                        .encode(Dataset.of(List.of(turns(false, "abcd"), turns(true, "ab")))),
                "row 0",
                "(2 in all)",
                "leaves nothing",
                "raise maxSequenceLength");
    }

    @Test
    void truncationDropsWholeOldestTurns() {
        Dataset dataset = Dataset.of(List.of(turns(false, "abcdef"), turns(true, "abcdef"), turns(true, "ab")));
        EncodedDataset encoded = toyEncoder(4, Truncation.DROP_OLDEST_TURNS).encode(dataset);
        assertEquals(
                List.of("cdef", "sef", "sab"),
                encoded.examples().stream().map(SftEncoderTest::letters).toList());
        assertArrayEquals(
                new int[] {'d', NO, 'f', NO}, only(encoded.examples().get(0)).labels());
        assertCounts(List.of(3, 0, 2, 10, 4, 4, 10 / 3.0, 4, 3), encoded.report());
    }

    @Test
    void toolResultsGoWithTheirTurn() {
        Conversation conversation = Conversation.of(
                ChatMessage.user("a"),
                ChatMessage.assistant("b"),
                ChatMessage.tool("c"),
                ChatMessage.assistant("d"),
                ChatMessage.user("e"),
                ChatMessage.assistant("f"));
        EncodedDataset encoded =
                toyEncoder(5, Truncation.DROP_OLDEST_TURNS).encode(Dataset.of(List.of(SftExample.of(conversation))));
        assertEquals("ef", letters(encoded.examples().get(0)));
    }

    @Test
    void theToolsStayWhenTurnsAreDropped() {
        List<Map<String, @Nullable Object>> tools = List.of(Map.of("name", "weather"));
        Conversation conversation = new Conversation(
                List.of(
                        ChatMessage.user("a"),
                        ChatMessage.assistant("b"),
                        ChatMessage.user("c"),
                        ChatMessage.assistant("d")),
                tools);
        List<Conversation> written = new ArrayList<>();
        SftEncoder encoder = new SftEncoder(
                c -> {
                    written.add(c);
                    boolean[] trained = new boolean[c.messages().size()];
                    trained[trained.length - 1] = true;
                    return new EncodedChat(new int[trained.length], trained);
                },
                Set.of(),
                encoding(2, Truncation.DROP_OLDEST_TURNS));
        encoder.encode(Dataset.of(List.of(SftExample.of(conversation))));
        assertEquals(new Conversation(conversation.messages().subList(2, 4), tools), written.get(written.size() - 1));
    }

    @Test
    void theLastTurnIsNeverCut() {
        fails(
                () -> toyEncoder(2, Truncation.DROP_OLDEST_TURNS).encode(Dataset.of(List.of(turns(true, "abcd")))),
                "row 0: has 5 tokens, more than the limit of 2 even with its last question and answer alone",
                "Truncation.SKIP");
    }

    @Test
    void aRowWithNothingToLearnIsAnError() {
        SftEncoder encoder = new SftEncoder(
                c -> new EncodedChat(new int[5], new boolean[5]), Set.of(), encoding(10, Truncation.FAIL));
        fails(() -> encoder.encode(Fixtures.numbered(1)), "row 0: none of its 5 tokens is one to learn");
    }

    @Test
    void whatTheTemplateCannotWriteIsNamed() {
        ChatEncoder llama = new ChatEncoder(tokenizer, ChatTemplate.named("llama2"));
        Conversation conversation = Conversation.of(ChatMessage.user("q"), ChatMessage.assistant("a"));
        assertEquals(
                1,
                new SftEncoder(llama, 64)
                        .encode(Dataset.of(List.of(SftExample.of(conversation))))
                        .examples()
                        .size());
        SftEncoder failing = new SftEncoder(
                c -> {
                    throw new IllegalArgumentException("no system message");
                },
                Set.of(),
                encoding(10, Truncation.FAIL));
        DatasetException failure = fails(
                () -> failing.encode(Fixtures.numbered(2)),
                "row 1: the chat template cannot write it: no system message");
        assertEquals(2, failure.count());
    }

    @ParameterizedTest
    @EnumSource(Truncation.class)
    void unboundPlaceholdersStopTheEncodingBeforeItStarts(Truncation truncation) {
        SftEncoder never = new SftEncoder(
                c -> {
                    throw new AssertionError("must not be asked");
                },
                Set.of(),
                encoding(10, truncation));
        fails(() -> never.encode(Dataset.of(List.of(SftExample.of("q", "I am {{name}}.")))), "row 0", "{{name}}");
        fails(() -> never.encode(Dataset.of(List.of())), "there is no example");
    }

    @Test
    void answersThatEndWithAStopIdAreCounted() {
        SftEncoder encoder = toyEncoder(8, Truncation.FAIL);
        DataReport all = encoder.encode(Dataset.of(List.of(turns(false, "ab"), turns(true, "af"))))
                .report();
        assertEquals(2, all.answers());
        assertEquals(2, all.answersWithStop());
        assertEquals(2, all.examples());
        assertEquals(List.of(), all.warnings());
        DataReport some = encoder.encode(Dataset.of(List.of(turns(false, "abcd"), turns(true, "af"))))
                .report();
        assertEquals(3, some.answers());
        assertEquals(2, some.answersWithStop());
        assertTrue(
                some.warnings().get(0).startsWith("only 2 of 3 trained answers end with"), some.warnings()::toString);
        DataReport none = encoder.encode(Dataset.of(List.of(turns(false, "cd"), turns(true, "gh"))))
                .report();
        assertEquals(2, none.answers());
        assertEquals(0, none.answersWithStop());
        assertEquals(1, none.warnings().size());
        assertTrue(none.warnings().get(0).startsWith("none of the 2 trained answers ends with"));
    }

    @Test
    void whiteSpaceMayFollowTheEndOfAnAnswer() {
        SftEncoder encoder = new SftEncoder(
                c -> new EncodedChat(new int[] {1, 7, 2, 205}, new boolean[] {false, true, true, true}),
                Set.of(2),
                encoding(8, Truncation.FAIL));
        DataReport report = encoder.encode(Fixtures.numbered(3)).report();
        assertEquals(3, report.answers());
        assertEquals(3, report.answersWithStop());
    }

    @Test
    void rowsThatLostSomethingAreWarnedOf() {
        List<String> skipped = toyEncoder(3, Truncation.SKIP)
                .encode(Dataset.of(List.of(turns(false, "abcd"), turns(false, "xb"))))
                .report()
                .warnings();
        assertEquals(List.of("1 of 2 rows have more tokens than the limit and are left out"), skipped);
        List<String> truncated = toyEncoder(3, Truncation.DROP_OLDEST_TURNS)
                .encode(Dataset.of(List.of(turns(false, "abef"), turns(false, "xb"))))
                .report()
                .warnings();
        assertEquals(
                List.of(
                        "1 of 2 rows have more tokens than the limit and lost their oldest turns or the ends of their texts"),
                truncated);
    }

    @Test
    void onlyWhatIsAskedForIsLearned() {
        Dataset dataset = Dataset.of(List.of(turns(true, "abcd")));
        Map<TrainOn, int[]> expected = Map.of(
                TrainOn.ANSWERS,
                new int[] {NO, 'b', NO, 'd', NO},
                TrainOn.LAST_ANSWER,
                new int[] {NO, NO, NO, 'd', NO},
                TrainOn.EVERYTHING,
                new int[] {'a', 'b', 'c', 'd', NO});
        expected.forEach((trainOn, labels) -> {
            SftEncoder encoder =
                    new SftEncoder(SftEncoderTest::toy, Set.of(), new Encoding(8, Truncation.FAIL, trainOn));
            EncodedExample example = encoder.encode(dataset).examples().get(0);
            assertArrayEquals(labels, only(example).labels(), trainOn.name());
        });
    }

    @Test
    void lossWeightsChooseAnswersAlsoAfterTurnsWereDropped() {
        SftExample example = new SftExample(
                turns(true, "abcdef").conversation(),
                List.of(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
                new Provenance("x", 0));
        Dataset dataset = Dataset.of(List.of(example));
        assertArrayEquals(
                new int[] {NO, 'b', NO, NO, NO, 'f', NO},
                only(toyEncoder(7, Truncation.FAIL).encode(dataset).examples().get(0))
                        .labels());
        EncodedExample shorter = toyEncoder(5, Truncation.DROP_OLDEST_TURNS)
                .encode(dataset)
                .examples()
                .get(0);
        assertEquals("scdef", letters(shorter));
        assertArrayEquals(new int[] {NO, NO, NO, 'f', NO}, only(shorter).labels());
    }

    @Test
    void anAnswerMayCountMoreThanAnother() {
        SftExample example = new SftExample(
                turns(true, "abcdef").conversation(),
                List.of(0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.25),
                new Provenance("x", 0));
        EncodedDataset data = toyEncoder(7, Truncation.FAIL).encode(Dataset.of(List.of(example, turns(false, "ab"))));
        EncodedSequence sequence = only(data.examples().get(0));
        assertArrayEquals(new int[] {NO, 'b', NO, NO, NO, 'f', NO}, sequence.labels());
        assertEquals(2f, Objects.requireNonNull(sequence.weights())[1]);
        assertEquals(0.25f, sequence.weights()[5]);
        assertEquals(2.25, sequence.targetWeight());
        assertEquals(2, sequence.targetTokens());
        for (Collator.Layout layout : List.of(Collator.Layout.PADDED, Collator.Layout.PACKED)) {
            Batch batch = new Collator(0, new Collator.Multiple(1), layout).collate(data.examples());
            long[] labels = batch.labels();
            float[] weights = Objects.requireNonNull(batch.weights());
            List<Float> counts = IntStream.range(0, labels.length)
                    .filter(i -> labels[i] != NO)
                    .mapToObj(i -> weights[i])
                    .toList();
            assertEquals(List.of(2f, 0.25f, 1f), counts);
            assertEquals(3.25, batch.targetWeight());
        }
        assertNull(new Collator(0, 1).collate(data.examples().subList(1, 2)).weights());
    }

    /** Of sequences of 2, 4, 6 and eight times 4 tokens; those are padded in two batches, whose longest have 4 and 6. */
    @Test
    void efficiencyOfPaddingAndPackingIsExact() {
        List<SftExample> examples = new ArrayList<>(List.of(turns(false, "ab"), turns(false, "abcdef")));
        for (int i = 0; i < 9; i++) {
            examples.add(turns(false, "abcd"));
        }
        EncodedDataset data = toyEncoder(6, Truncation.FAIL).encode(Dataset.of(examples));
        DataReport.Shape shape = data.report().shape();
        int[] order = Permutation.of(11, 0, 0);
        int[] most = new int[2];
        for (int i = 0; i < 11; i++) {
            int batch = i / 8;
            most[batch] = Math.max(most[batch], data.examples().get(order[i]).longest());
        }
        assertEquals(1 - 44.0 / (8 * most[0] + 3 * most[1]), shape.padded(), 1e-12);
        // One row holds the six, one a four with the two, and eight rows a four each.
        assertEquals(44.0 / (10 * 6), shape.packed(), 1e-12);
        assertEquals(4, shape.median());
        assertEquals(List.of(new DataReport.Bin(16, 11)), shape.histogram());
    }

    @Test
    void lossWeightsThatCannotBeTrainedWithAreRefused() {
        Conversation conversation = turns(false, "ab").conversation();
        Map<List<Double>, String> refused = Map.of(
                List.of(0.5, 1.0), "the loss weight 0.5 and the role USER, but only answers can be learned",
                List.of(1.0, 1.0), "only answers can be learned",
                List.of(0.0, 0.0), "nothing to learn");
        refused.forEach((weights, reason) -> {
            Dataset dataset = Dataset.of(List.of(new SftExample(conversation, weights, new Provenance("x", 3))));
            DatasetException e = assertThrows(
                    DatasetException.class, () -> toyEncoder(8, Truncation.FAIL).encode(dataset));
            assertTrue(e.getMessage().startsWith("x, row 3: ") && e.getMessage().contains(reason), e.getMessage());
        });
    }

    @Test
    void theSourceIsCutAndTheTemplateStays() {
        Conversation conversation = Conversation.of(
                ChatMessage.system("Be short."),
                ChatMessage.user("one two three four five six seven eight nine ten ".repeat(5)),
                ChatMessage.assistant("Hello!"));
        SftExample example = SftExample.of(conversation);
        EncodedDataset whole = new SftEncoder(chat, 512).encode(Dataset.of(List.of(example)));
        EncodedDataset cut = new SftEncoder(chat, 48, Truncation.CUT_SOURCE).encode(Dataset.of(List.of(example)));
        EncodedSequence sequence = only(cut.examples().get(0));
        assertTrue(sequence.length() <= 48 && sequence.length() >= 45, "length " + sequence.length());
        assertEquals(1, cut.report().truncated());
        assertEquals(whole.report().targetTokens(), sequence.targetTokens());
        String text = tokenizer.decode(sequence.inputIds());
        assertTrue(text.startsWith("<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\none two three"), text);
        assertTrue(text.endsWith("<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n"), text);
        fails(
                () -> new SftEncoder(chat, 20, Truncation.CUT_SOURCE).encode(Dataset.of(List.of(example))),
                "even without its question");
    }

    /** By hand from the rule: source 5 and target 3 of 6 give 6 · 3 / 8 = 2 of the target and 4 of the source. */
    @Test
    void proportionalCutsAreThoseOfLlamaFactory() {
        EncodedChat chatOf = new EncodedChat(
                new int[] {1, 2, 3, 4, 5, 6, 7, 8},
                new boolean[] {false, false, false, false, false, true, true, true});
        assertArrayEquals(
                new int[] {1, 2, 3, 4, 6, 7}, Shortening.proportional(chatOf, 6).ids());
        // A short target stays whole, and so does a short source.
        EncodedChat shortTarget = new EncodedChat(
                new int[] {1, 2, 3, 4, 5, 6, 7, 8},
                new boolean[] {false, false, false, false, false, false, false, true});
        assertArrayEquals(
                new int[] {1, 2, 3, 8}, Shortening.proportional(shortTarget, 4).ids());
        EncodedChat shortSource = new EncodedChat(
                new int[] {1, 2, 3, 4, 5, 6, 7, 8}, new boolean[] {false, true, true, true, true, true, true, true});
        assertArrayEquals(
                new int[] {1, 2, 3, 4}, Shortening.proportional(shortSource, 4).ids());
    }

    @Test
    void aTextIsLearnedWholeAndPartedWhereItIsLong() {
        TextExample text = new TextExample("word ".repeat(40).strip(), new Provenance("x", 0));
        int[] ids = chat.encodeText(text.text());
        EncodedDataset encoded = new SftEncoder(chat, 16).encode(Dataset.of(List.of(text)));
        int end = tokenizer.idOf(tokenizer.eosToken().orElseThrow()).orElseThrow();
        List<Integer> all = new ArrayList<>();
        List<Integer> learned = new ArrayList<>();
        for (EncodedExample piece : encoded.examples()) {
            assertTrue(only(piece).length() <= 16);
            Arrays.stream(only(piece).inputIds()).forEach(all::add);
            Arrays.stream(only(piece).labels()).filter(label -> label != NO).forEach(learned::add);
        }
        List<Integer> expected = new ArrayList<>(Arrays.stream(ids).boxed().toList());
        expected.add(end);
        assertEquals(expected.subList(1, expected.size()), learned, "each token but the first is predicted once");
        assertEquals(expected.subList(0, all.size()), all);
    }

    @Test
    void theReportTellsWhatTheTextsHold() {
        Dataset dataset = Dataset.of(List.of(
                SftExample.of("Who?", "Hello!"),
                SftExample.of("Who?", "Hello!"),
                SftExample.of("who ", "HELLO"),
                SftExample.of("What is <|im_end|>?", "An <b>end</b>.")));
        DataReport report = new SftEncoder(chat, 64).encode(dataset).report();
        assertEquals(new DataReport.Texts(1, 1, 0, 1), report.texts());
        assertEquals(
                4,
                report.shape().histogram().stream()
                        .mapToInt(DataReport.Bin::examples)
                        .sum());
        assertEquals(
                List.of("Hello!<|im_end|>"),
                report.preview().get(0).pieces().stream()
                        .filter(DataReport.Piece::learned)
                        .map(DataReport.Piece::text)
                        .toList());
        String whole = report.preview().get(0).pieces().stream()
                .map(DataReport.Piece::text)
                .collect(Collectors.joining());
        assertEquals("<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n", whole);
        assertTrue(report.text().contains("«Hello!<|im_end|>»"), report.text());
        assertTrue(report.html().contains("<mark>An &lt;b&gt;end&lt;/b&gt;.&lt;|im_end|&gt;</mark>"), report.html());
        assertTrue(report.colouredText().contains("\u001B[32mHello!<|im_end|>\u001B[0m"), report.colouredText());
    }

    @Test
    void arguments() {
        assertThrows(IllegalArgumentException.class, () -> toyEncoder(1, Truncation.FAIL));
        assertThrows(IllegalArgumentException.class, () -> new EncodedExample(new int[0], new int[0]));
        assertThrows(IllegalArgumentException.class, () -> new EncodedExample(new int[2], new int[1]));
        assertFalse(new EncodedExample(new int[] {1}, new int[] {NO})
                        .sequences()
                        .get(0)
                        .targetTokens()
                > 0);
    }

    @Test
    void otherExamplesAreRefused() {
        Provenance place = new Provenance("x", 7);
        Conversation prompt = Conversation.of(ChatMessage.user("q"));
        ChatMessage answer = ChatMessage.assistant("a");
        Dataset mixed = Dataset.of(List.of(
                SftExample.of("q", "ab"),
                new PreferenceExample(prompt, answer, ChatMessage.assistant("b"), place),
                new KtoExample(prompt.with(answer), true, place)));
        DatasetException failure = fails(
                () -> toyEncoder(8, Truncation.FAIL).encode(mixed),
                "x, row 7: is a preference pair, but supervised fine-tuning",
                "is a judged answer");
        assertEquals(2, failure.count());
    }
}
