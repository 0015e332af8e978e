package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** How full rows are that a whole file is packed into, the last one not counted. */
class PackedFileTest {
    private static double fill(Dataset dataset, int tokens) {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            ChatEncoder chat = new ChatEncoder(tokenizer, ChatTemplate.named("chatml"));
            List<EncodedExample> examples = new SftEncoder(chat, tokens, Truncation.SKIP)
                    .encode(dataset)
                    .examples();
            List<Integer> filled = RowPacker.pack(examples, tokens).stream()
                    .map(row -> row.stream().mapToInt(EncodedExample::tokens).sum())
                    .toList();
            double mean = filled.subList(0, filled.size() - 1).stream()
                    .mapToInt(i -> i)
                    .average()
                    .orElseThrow();
            System.out.printf("rows of %d tokens are %.1f %% full%n", tokens, 100 * mean / tokens);
            return mean / tokens;
        }
    }

    @Test
    void alpacaFillsRows() {
        Dataset alpaca = Dataset.read(Needs.shared("fixtures/datasets").resolve("alpaca_en_demo.json"));
        assertTrue(fill(alpaca, 1024) >= 0.95);
    }

    @Test
    void generatedRowsFillLongOnes() {
        Random random = new Random(1);
        Dataset rows = Dataset.of(IntStream.range(0, 10_000)
                .mapToObj(i -> SftExample.of(
                        "q" + i,
                        IntStream.range(0, 1 + random.nextInt(40))
                                .mapToObj(word -> "w" + word)
                                .collect(Collectors.joining(" ")))));
        assertTrue(fill(rows, 4096) >= 0.97);
    }
}
