package dev.finetune4j.core.inference;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.testsupport.TestData;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ReplyWriterTest {
    private static final List<String> LETTERS =
            List.of("a", "b", "\u00e9", "\u4f60", "\ud83d\udc69\u200d\ud83d\udcbb", "\n", " ");

    /** Tokens begin and end at any byte, within characters too. */
    @Test
    void stopStringsAreFoundAtEverySplitOfBytes() {
        int rounds = Boolean.getBoolean("finetune4j.long") ? 20_000 : 500;
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            Map<String, Integer> byBytes = new HashMap<>();
            for (int id = 0; id < tokenizer.vocabularySize(); id++) {
                byBytes.putIfAbsent(Arrays.toString(tokenizer.bytesOf(id)), id);
            }
            for (int seed = 0; seed < rounds; seed++) {
                Random random = new Random(seed);
                String text = text(random, random.nextInt(12));
                List<String> stops = new ArrayList<>();
                for (int i = random.nextInt(3); i >= 0; i--) {
                    stops.add(text(random, 1 + random.nextInt(2)));
                }
                List<Integer> ids = ids(text.getBytes(StandardCharsets.UTF_8), byBytes, random);
                check(tokenizer, text, stops, ids, "seed " + seed + ": " + stops + " in " + text);
            }
        }
    }

    private static String text(Random random, int letters) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < letters; i++) {
            text.append(LETTERS.get(random.nextInt(LETTERS.size())));
        }
        return text.toString();
    }

    /** Tokens whose bytes are these, parted at random. */
    private static List<Integer> ids(byte[] bytes, Map<String, Integer> byBytes, Random random) {
        List<Integer> ids = new ArrayList<>();
        int at = 0;
        while (at < bytes.length) {
            int length = 1 + random.nextInt(Math.min(4, bytes.length - at));
            Integer id = byBytes.get(Arrays.toString(Arrays.copyOfRange(bytes, at, at + length)));
            if (id == null) {
                length = 1;
                id = byBytes.get(Arrays.toString(new byte[] {bytes[at]}));
            }
            ids.add(id);
            at += length;
        }
        return ids;
    }

    private static void check(Tokenizer tokenizer, String text, List<String> stops, List<Integer> ids, String what) {
        StringBuilder pieces = new StringBuilder();
        ReplyWriter writer = new ReplyWriter(
                tokenizer,
                ChatRequest.builder()
                        .messages(ChatMessage.user("Hi"))
                        .settings(s -> s.stop(stops))
                        .build(),
                new AnswerParser(false, false, null, 0),
                null,
                delta -> pieces.append(delta.content()),
                1,
                0);
        int taken = 0;
        boolean goesOn = true;
        while (goesOn && taken < ids.size()) {
            goesOn = writer.accept(ids.get(taken++), null);
        }
        Reply reply = writer.end(FinishReason.LENGTH);
        String expected = cut(stops, text);
        assertEquals(expected == null ? text : expected, reply.text(), what);
        assertEquals(reply.text(), pieces.toString(), what);
        assertEquals(expected == null ? FinishReason.LENGTH : FinishReason.STOP, reply.finishReason(), what);
        assertEquals(taken, reply.usage().completionTokens(), what);
    }

    /** The text before the stop string that is complete first, the longest of those that end together; null without any. */
    private static String cut(List<String> stops, String text) {
        for (int end = 1; end <= text.length(); end++) {
            String first = text.substring(0, end);
            int start = stops.stream()
                    .filter(first::endsWith)
                    .mapToInt(stop -> first.length() - stop.length())
                    .min()
                    .orElse(-1);
            if (start >= 0) {
                return text.substring(0, start);
            }
        }
        return null;
    }
}
