package dev.finetune4j.lora.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeout;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.SettingsException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Regular expressions of adapter_config.json mean what Python means by them, and none holds the JVM up. */
class PathPatternTest {
    private static final String PATH = "model.layers.0.self_attn.q_proj";

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                ".*q_proj                                 | true",
                "q_proj                                   | false",
                "(?P<a>model)\\..*[qv]_proj\\Z         | true",
                "(?P<a>[a-z]+)\\.layers\\.(?P=a).*        | false",
                "model(?#the whole)\\.layers.*            | true",
                ".*[[]?self_attn.*                        | true",
                ".*_[a&&z]roj.*                           | false",
                "[]a-z_.0-9]{,40}                         | true",
                "^(?!.*visual)(?=.*layers).*$             | true"
            })
    void readsPythonsSpelling(String regex, boolean matches) {
        assertEquals(matches, PathPattern.of(regex).matches(PATH), regex);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "(?:(.)|(.))*\\1!",
                "(?:(.)\\1?|.)*!",
                "((.)|(.)|(..))*(?:\\2\\3)!",
                "(.*,?)*(.*,?)*(.*,?)*!",
                "([a-z._0-9]+)*!",
                "((a?){1000}){1000}((a?){1000}){1000}",
                "(((){99}){99}){99}!",
                "(?:){2147483647}!",
                "(x+x+)+y",
                "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)!",
                "(?=(.*)*!).*"
            })
    void noExpressionTakesLong(String regex) {
        assertTimeout(Duration.ofSeconds(2), () -> {
            try {
                PathPattern.of(regex).matches(PATH);
                PathPattern.of(regex).matches("x".repeat(200));
            } catch (SettingsException e) {
                assertTrue(e.getMessage().contains("limit"), e.getMessage());
            }
        });
    }

    @Test
    void nestingAndLengthAreBounded() {
        for (String regex : List.of(
                "(".repeat(4_900) + "a" + ")".repeat(4_900),
                "a".repeat(10_001),
                "[".repeat(9_000),
                "(?:a|".repeat(2_000) + "b" + ")".repeat(2_000),
                "(?=".repeat(3_000) + ")".repeat(3_000))) {
            assertTimeout(Duration.ofSeconds(2), () -> {
                try {
                    PathPattern.of(regex).matches(PATH);
                } catch (SettingsException e) {
                    assertTrue(e.getMessage().length() < 1_000, e.getMessage());
                }
            });
        }
    }

    @Test
    void theMessageNamesThePatternAndTheRemedy() {
        SettingsException slow = assertThrows(
                SettingsException.class,
                () -> PathPattern.of("(?:(.)|(.))*\\1!").matches(PATH));
        assertTrue(slow.getMessage().contains("\"(?:(.)|(.))*\\1!\" takes more than the limit"), slow.getMessage());
        SettingsException broken = assertThrows(SettingsException.class, () -> PathPattern.of("(q_proj"));
        assertTrue(broken.getMessage().contains("\"(q_proj\" is no regular expression"), broken.getMessage());
    }

    @Test
    void layersAndRanksByPatternAreAsBefore() {
        ModuleSelection selection =
                new ModuleSelection(TargetModules.named("q_proj"), null, List.of(1), List.of("layers"));
        List<String> paths = List.of("model.layers.0.q_proj", "model.layers.1.q_proj", "model.layers.11.q_proj");
        assertEquals(
                new TreeSet<>(List.of("model.layers.1.q_proj")), new TreeSet<>(selection.matching(paths, List.of())));
        LoraSettings lora = LoraSettings.builder()
                .rankPattern(Map.of("layers.1.q_proj", 3, "layers\\.(0|2)\\.q_proj", 5))
                .build();
        assertEquals(5, lora.rankOf("model.layers.0.q_proj"));
        assertEquals(3, lora.rankOf("model.layers.1.q_proj"));
        assertEquals(lora.rank(), lora.rankOf("model.layers.11.q_proj"));
    }
}
