package dev.finetune4j.data.batch;

import static dev.finetune4j.data.Fixtures.fails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import dev.finetune4j.testsupport.TestData;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Pairs and judged answers as the sequences that objectives compare. */
class ComparisonEncoderTest {
    private static final Conversation PROMPT = Conversation.of(
            ChatMessage.user("one two three"), ChatMessage.assistant("four"), ChatMessage.user("five six"));
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

    private static EncodedDataset encode(int limit, Truncation truncation, Example... examples) {
        return new ComparisonEncoder(chat, new Encoding(limit, truncation, TrainOn.ANSWERS), examples[0].getClass())
                .encode(Dataset.of(List.of(examples)));
    }

    private static PreferenceExample pair(String chosen, String rejected, int row) {
        return new PreferenceExample(
                PROMPT, ChatMessage.assistant(chosen), ChatMessage.assistant(rejected), new Provenance("x", row));
    }

    private static String learned(EncodedSequence sequence) {
        return tokenizer.decode(Arrays.stream(sequence.labels())
                .filter(label -> label != Labels.IGNORE)
                .toArray());
    }

    @Test
    void aPairIsItsTwoAnswersToOnePrompt() {
        EncodedExample example = encode(128, Truncation.FAIL, pair("good", "bad one", 0))
                .examples()
                .get(0);
        EncodedSequence chosen = example.sequences().get(0);
        EncodedSequence rejected = example.sequences().get(1);
        assertEquals(List.of(Kind.CHOSEN, Kind.REJECTED), List.of(chosen.kind(), rejected.kind()));
        assertEquals(List.of("good<|im_end|>", "bad one<|im_end|>"), List.of(learned(chosen), learned(rejected)));
        int[] prompt = chat.encode(PROMPT, true).ids();
        assertEquals(prompt.length, Arrays.mismatch(prompt, chosen.inputIds()));
        assertEquals(prompt.length, Arrays.mismatch(prompt, rejected.inputIds()));
    }

    @Test
    void bothAnswersSeeTheSameShorterPrompt() {
        EncodedDataset encoded = encode(40, Truncation.DROP_OLDEST_TURNS, pair("good", "bad ".repeat(4) + "one", 0));
        for (EncodedSequence sequence : encoded.examples().get(0).sequences()) {
            assertTrue(tokenizer.decode(sequence.inputIds()).startsWith("<|im_start|>user\nfive six<|im_end|>"));
        }
        assertEquals(1, encoded.report().truncated());
        fails(
                () -> encode(40, Truncation.FAIL, pair("good", "bad ".repeat(4) + "one", 3)),
                "row 3: has",
                "limit of 40");
        assertThrows(IllegalArgumentException.class, () -> new Encoding(1, Truncation.FAIL, TrainOn.ANSWERS));
        assertThrows(IllegalArgumentException.class, () -> encode(40, Truncation.PROPORTIONAL, pair("a", "b", 0)));
    }

    @Test
    void aJudgedAnswerIsJoinedByThatOfTheNextRow() {
        Example[] rows = IntStream.range(0, 3)
                .mapToObj(i -> new KtoExample(
                        Conversation.of(ChatMessage.user("q" + i), ChatMessage.assistant("a" + i)),
                        i != 1,
                        new Provenance("x", i)))
                .toArray(Example[]::new);
        List<EncodedExample> examples = encode(64, Truncation.FAIL, rows).examples();
        for (int i = 0; i < 3; i++) {
            List<EncodedSequence> sequences = examples.get(i).sequences();
            assertEquals(
                    List.of(i == 1 ? Kind.UNDESIRABLE : Kind.DESIRABLE, Kind.MISMATCHED),
                    sequences.stream().map(EncodedSequence::kind).toList());
            assertEquals(
                    List.of("a" + i + "<|im_end|>", "a" + (i + 1) % 3 + "<|im_end|>"),
                    sequences.stream().map(ComparisonEncoderTest::learned).toList());
            assertTrue(tokenizer.decode(sequences.get(1).inputIds()).contains("q" + i));
        }
    }

    @Test
    void pairsStayTogetherInPackedRows() {
        Example[] pairs = IntStream.range(0, 40)
                .mapToObj(i -> pair("g" + i, "b ".repeat(1 + i % 5) + i, i))
                .toArray(Example[]::new);
        List<EncodedExample> examples = encode(128, Truncation.FAIL, pairs).examples();
        List<List<EncodedExample>> rows = RowPacker.pack(examples, 256);
        assertEquals(40, rows.stream().mapToInt(List::size).sum());
        Collator collator = new Collator(0, new Collator.Multiple(256), Collator.Layout.PACKED);
        for (List<EncodedExample> row : rows) {
            List<Batch.Sequence> sequences = collator.collate(row).sequences();
            for (int i = 0; i < sequences.size(); i++) {
                assertEquals(i / 2, sequences.get(i).example());
                assertEquals(
                        i % 2 == 0 ? Kind.CHOSEN : Kind.REJECTED,
                        sequences.get(i).tokens().kind());
            }
        }
    }

    @Test
    void otherRowsAreRefused() {
        fails(
                () -> encode(64, Truncation.FAIL, pair("a", "b", 0), SftExample.of("q", "a")),
                "row 1: is a conversation, but preferences are learned from pairs");
        fails(
                () -> encode(64, Truncation.FAIL, KtoExample.of("q", "a", true), pair("a", "b", 1)),
                "row 1: is a preference pair, but KTO learns from answers");
        fails(() -> encode(64, Truncation.FAIL, KtoExample.of("q", "a", true)), "is the only row", "give two or more");
    }
}
