package dev.finetune4j.core.text.jinja;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Clock;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The language, by small cases whose texts Jinja 3.1 gave. */
class JinjaTemplateTest {
    private static final Map<String, Object> VARIABLES = Map.of(
            "word", "Straße",
            "numbers", List.of(3, 1, 2),
            "messages",
                    List.of(Map.of("role", "user", "content", " hi "), Map.of("role", "assistant", "content", "yo")));

    private static String render(String template) {
        return JinjaTemplate.parse(template)
                .render(VARIABLES, Clock.systemUTC())
                .text();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '→',
            quoteCharacter = '`',
            value = {
                "{{ word|upper }} → STRASSE",
                "{{ numbers|sort|join('-') }} → 1-2-3",
                "{{ numbers[::-1] }} → [2, 1, 3]",
                "{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 70 }} → 3 -4 2 1180591620717411303424",
                "{{ 1 == 1.0 }} {{ true == 1 }} {{ none }} {{ 1e-7 }} → True True None 1e-07",
                "{{ messages[0].content.strip() }} → hi",
                "{% for m in messages %}{{ loop.index }}{{ m.role }}{{ ',' if not loop.last }}{% endfor %} → 1user,2assistant",
                "{% set ns = namespace(n=0) %}{% for i in numbers %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }} → 6",
                "{% macro f(a, b=2) %}{{ a * b }}{% endmacro %}{{ f(3) }}{{ f(3, b=3) }} → 69",
                "{{ 'abc'[1:] ~ 1 }} → bc1",
                "{{ messages|selectattr('role', 'equalto', 'user')|list|length }} → 1",
                "{{ {'a': [1, none, true]}|tojson }} → {\"a\": [1, null, true]}",
                "{{ '%s has %05.1f'|format('it', 3.14159) }} → it has 003.1",
                "{{ missing|default('x') }}{{ missing is defined }} → xFalse",
                "{% for x in [] %}a{% else %}none{% endfor %} → none",
                "{%- if 'b' in 'abc' and 2 not in [1] -%} yes {%- endif -%} → yes",
            })
    void writesWhatJinjaWrites(String template, String expected) {
        assertEquals(expected, render(template));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '→',
            value = {
                "{{ 1 + }} → 1",
                "a{% frobnicate %} → 1",
                "{% for x in y %} → 1",
                "{{ 'abc }} → 1",
                "{% include 'x' %} → 1",
                "{{ 1|no_such_filter }} → 1",
            })
    void whatIsNotUnderstoodIsAnErrorWithItsPlace(String template, int line) {
        JinjaException error = assertThrows(JinjaException.class, () -> render(template));
        assertEquals(line, error.line());
        assertTrue(error.column() > 0, error.getMessage());
    }

    @Test
    void generationTagsMarkWhatTheyWrite() {
        JinjaTemplate.Rendering rendering = JinjaTemplate.parse(
                        "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}"
                                + "{% generation %}{{ m.content }}!{% endgeneration %}{% endif %}{% endfor %}")
                .render(VARIABLES, Clock.systemUTC());
        assertEquals("<user><assistant>yo!", rendering.text());
        assertEquals(List.of(new JinjaTemplate.Span(17, 20)), rendering.generations());
    }

    @Test
    void damagedTemplatesThrowNothingButTheirException() {
        String sound = "{%- for m in messages %}{{ '<|' ~ m['role'] + '|>' }}{% if loop.first and m.content|trim %}"
                + "{{- m.content | replace('a', \"b\") }}{% elif m.x is defined %}{% set y = [1, 2.5, {'k': none}] %}{{ y[0:2] }}"
                + "{%- endif %}{% endfor -%}{# note #}{% macro f(a, b=1) %}{{ a }}{% endmacro %}{{ f(1) }}";
        long seed = 20260301;
        Random random = new Random(seed);
        int refused = 0;
        for (int i = 0; i < 20_000; i++) {
            StringBuilder text = new StringBuilder(sound);
            for (int change = 0; change <= random.nextInt(4); change++) {
                int at = random.nextInt(text.length());
                switch (random.nextInt(3)) {
                    case 0 -> text.deleteCharAt(at);
                    case 1 -> text.setCharAt(at, sound.charAt(random.nextInt(sound.length())));
                    default -> text.insert(at, sound, 0, random.nextInt(12));
                }
            }
            try {
                render(text.toString());
            } catch (JinjaException e) {
                refused++;
            } catch (RuntimeException | Error e) {
                throw new AssertionError("seed " + seed + ", template " + text, e);
            }
        }
        assertTrue(refused > 1000, "only " + refused + " refused");
    }
}
