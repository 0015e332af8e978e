package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Patterns in the forms that published tokenizers have are passed, those that could hold the native matcher up are not. */
class SplitPatternTest {
    @ParameterizedTest
    @ValueSource(
            strings = {
                "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
                "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
                "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
                "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
                "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+",
                "\\d{1,3}(?=(?:\\d{3})*\\b)",
                "(?=(\\d{3})+(?!\\d))",
                " {2,}",
                "[0-9][0-9][0-9]",
                "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
                "[\\p{Han}&&[^a-z]]+|\\s",
                "[\\r\\n]",
                "\\s?[A-Za-z\u00b5\u00c0-\u00d6]+",
                "\\{x{a}"
            })
    void formsOfPublishedTokenizers(String regex) {
        String problem = SplitPattern.problem(regex);
        assertNull(problem, problem);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "(a+)+b",
                "(a*)*b",
                "(a|a)*b",
                "(a|aa)+$",
                "(?:x+x+)+y",
                "([a-z]+)*!",
                "(?:(.)|(.))*\\1!",
                "(.)\\1+",
                "(?<n>a)\\k<n>",
                "(?:a?){500}a",
                "(?:a?){5000}",
                "a{100000}",
                ".*.*.*.*.*=",
                "\\s*\\s*\\s*x",
                "(?:.*)(?:.*)(?:.*)!",
                "(?>(a+)+)b",
                "(?:(?:(?:a{9,}){9,}){9,})!",
                "(?R)",
                "(?(1)a|b)",
                "((((((((((",
                "[abc",
                "a)",
                "*a",
                "\\p{L}*\\p{L}*x",
                "\\p{L}{0,1000}\\p{L}{0,1000}x",
                "\\s*(\\s*x)",
                "(?:\\s*)(?:[a-z]*\\s*)x",
                "\\s+\\s+(?!\\S)",
                "((?:a{0,4}){0,4}){0,4}!",
                "(?:(?:(?:(?:a|b){1,4}){1,4}){1,4}){1,4}!",
                "(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)!",
                "a?a?a?a?a?a?a?aaaaaaaa",
                "(?:a?){4}b"
            })
    void whatMayTakeWithoutEnd(String regex) {
        assertNotNull(SplitPattern.problem(regex));
    }

    @Test
    void manyRepeatsInManyGroupsAreRefusedSoon() {
        StringBuilder repeats = new StringBuilder();
        for (int i = 0; i < 2_000; i++) {
            repeats.appendCodePoint(0x4e00 + i).append('+');
        }
        String regex = "(".repeat(40) + repeats + ")".repeat(40);
        assertTimeoutPreemptively(Duration.ofSeconds(2), () -> assertNotNull(SplitPattern.problem(regex)));
    }
}
