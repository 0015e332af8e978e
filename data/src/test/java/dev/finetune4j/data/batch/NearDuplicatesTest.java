package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import dev.finetune4j.testsupport.Needs;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class NearDuplicatesTest {
    private static String text(Random random, int words) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < words; i++) {
            text.append("w").append(random.nextInt(3000)).append(i % 9 == 8 ? ". " : " ");
        }
        return text.toString();
    }

    @Test
    void plantedOnesAreFoundAndNoOthers() {
        Random random = new Random(5);
        NearDuplicates near = new NearDuplicates();
        List<String> texts = new ArrayList<>();
        for (int i = 0; i < 5000; i++) {
            texts.add(text(random, 20 + random.nextInt(80)));
            assertFalse(near.add(texts.get(i)), "text " + i);
        }
        int found = 0;
        for (int i = 0; i < 500; i++) {
            String[] words = texts.get(random.nextInt(texts.size())).split(" ", -1);
            if (words.length > 40) {
                words[random.nextInt(words.length)] = "changed";
            }
            found += near.add(String.join("  ", words).toUpperCase(Locale.ROOT) + "!") ? 1 : 0;
        }
        assertTrue(found >= 490, found + " of 500 found");
    }

    @Test
    void shortTextsAndThoseWithoutSpacesCountToo() {
        NearDuplicates near = new NearDuplicates();
        for (String text : List.of("hi", "hello there", "你是谁?我是一个由小明开发的人工智能助手,很高兴认识你。", "", "a b c", "a b d")) {
            assertFalse(near.add(text), text);
        }
        for (String text : List.of("Hi!", "Hello, there.", "你是谁?我是一个由小明开发的人工智能助手!很高兴认识你", "...", "A B C")) {
            assertTrue(near.add(text), text);
        }
        assertFalse(near.add("你好,请问今天天气怎么样?我想出门走走。"));
    }

    /** Each that is found has an earlier one that shares most of its sequences of words, by comparing it with all. */
    @Test
    void realRowsRaiseNoFalseAlarm() {
        Dataset dataset = Dataset.read(Needs.shared("fixtures/datasets/alpaca_en_demo.json"));
        NearDuplicates near = new NearDuplicates();
        List<Set<String>> seen = new ArrayList<>();
        int found = 0;
        for (Example example : dataset.examples()) {
            String text = String.join("\u0000", example.texts());
            Set<String> shingles = shingles(text);
            double best = seen.stream()
                    .mapToDouble(other -> shared(shingles, other))
                    .max()
                    .orElse(0);
            if (near.add(text)) {
                found++;
                assertTrue(best > 0.65, example.where() + " " + best);
            } else {
                assertTrue(best < 0.95, example.where() + " " + best);
            }
            seen.add(shingles);
        }
        System.out.println("alpaca_en_demo: " + found + " of " + dataset.size() + " rows nearly repeat an earlier one");
        assertEquals(dataset.size(), seen.size());
    }

    private static Set<String> shingles(String text) {
        String[] words = text.toLowerCase(Locale.ROOT).split("[^\\p{L}\\p{N}]+", -1);
        Set<String> shingles = new HashSet<>();
        for (int i = 0; i + 3 <= words.length; i++) {
            shingles.add(words[i] + " " + words[i + 1] + " " + words[i + 2]);
        }
        return shingles;
    }

    private static double shared(Set<String> one, Set<String> other) {
        int both = 0;
        for (String shingle : one) {
            both += other.contains(shingle) ? 1 : 0;
        }
        return (double) both / Math.max(1, one.size() + other.size() - both);
    }
}
