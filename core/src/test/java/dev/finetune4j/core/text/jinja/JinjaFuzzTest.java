package dev.finetune4j.core.text.jinja;

import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Templates with random damage either render or are refused as a {@link JinjaException}, in a short time. */
@Tag("slow")
class JinjaFuzzTest {
    private static final int ROUNDS = 6000;
    private static final List<String> PIECES = List.of(
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "-",
            "+",
            "|",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "'",
            "\"",
            "\\",
            ":",
            ",",
            "if",
            "for",
            "in",
            "is",
            "not",
            "else",
            "endif",
            "endfor",
            "set",
            "macro",
            "loop",
            "recursive",
            "9",
            "0",
            "none",
            "*",
            "**",
            "//",
            "%",
            "~",
            " ",
            "\n",
            "messages",
            "content",
            "\uD83D",
            "\u4e2d",
            ".",
            "..",
            "1e9");

    @ParameterizedTest
    @ValueSource(longs = {1, 20250307, 77_777_777_777L})
    void damageIsAnErrorOfItsOwnKind(long seed) {
        JsonNode cases = TestData.json(TestData.resource("text/jinja/cases.json"));
        Map<String, @Nullable Object> variables = Cases.variables(cases.path("context"));
        variables.put("messages", variables.get("msgs"));
        List<String> sources = new ArrayList<>();
        cases.path("groups")
                .forEach(group -> group.path("cases")
                        .forEach(item -> sources.add(item.path("template").asText())));
        Needs.findShared("fixtures/chat-templates").ifPresent(folder -> sources.addAll(published(folder)));
        Random random = new Random(seed);
        int rendered = 0;
        for (int round = 0; round < ROUNDS; round++) {
            String damaged = damage(sources.get(random.nextInt(sources.size())), sources, random);
            String where = "seed " + seed + ", round " + round + ": " + damaged;
            rendered +=
                    assertTimeoutPreemptively(Duration.ofSeconds(60), () -> outcome(damaged, variables, where), where);
        }
        assertTrue(rendered > ROUNDS / 50, rendered + " of " + ROUNDS + " rendered");
    }

    private static int outcome(String template, Map<String, @Nullable Object> variables, String where) {
        try {
            JinjaTemplate.parse(template).render(variables, Cases.CLOCK);
            return 1;
        } catch (JinjaException e) {
            return 0;
        } catch (RuntimeException | Error e) {
            return fail(where, e);
        }
    }

    private static List<String> published(Path folder) {
        try (Stream<Path> files = Files.list(folder)) {
            List<String> sources = new ArrayList<>();
            for (Path file : files.filter(path -> path.toString().endsWith(".jinja"))
                    .sorted()
                    .toList()) {
                sources.add(Files.readString(file));
            }
            return sources;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String damage(String source, List<String> sources, Random random) {
        StringBuilder text = new StringBuilder(source);
        for (int i = random.nextInt(4); i >= 0; i--) {
            int at = random.nextInt(text.length() + 1);
            int end = Math.min(text.length(), at + 1 + random.nextInt(8));
            switch (random.nextInt(4)) {
                case 0 -> text.delete(at, end);
                case 1 -> text.insert(at, PIECES.get(random.nextInt(PIECES.size())));
                case 2 -> text.insert(at, text.substring(at, end));
                default -> {
                    String other = sources.get(random.nextInt(sources.size()));
                    int from = random.nextInt(other.length() + 1);
                    text.insert(at, other, from, Math.min(other.length(), from + random.nextInt(30)));
                }
            }
        }
        return text.toString();
    }
}
