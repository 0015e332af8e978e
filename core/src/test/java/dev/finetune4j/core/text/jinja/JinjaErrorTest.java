package dev.finetune4j.core.text.jinja;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Errors name the place and the reason, and nothing runs for ever. */
class JinjaErrorTest {
    @ParameterizedTest
    @CsvSource(
            delimiter = '#',
            quoteCharacter = '"',
            value = {
                "a\\n  {% if x %}b # 2 # 6 # never closed",
                "a\\n{{ 1 + }} # 2 # 8 # expected an expression",
                "{{ 'a }} # 1 # 4 # the string has no end",
                "a\\r\\nb\\r\\n{{ ( }} # 3 # 6 # expected ')'",
                "{% foo %} # 1 # 4 # 'foo' is unknown",
                "\\n\\n{% include 'x' %} # 3 # 4 # 'include' is not supported",
                "{% endif %} # 1 # 4 # closes nothing",
                "{% break %} # 1 # 4 # outside of a loop",
                "{{ a ? b }} # 1 # 6 # unexpected character",
                "{{ a ] }} # 1 # 6 # unexpected ']'",
                "{{ [1) }} # 1 # 6 # expected ']'",
                "{{ 1|wordwrap }} # 1 # 6 # 'wordwrap' is not supported",
                "{{ 1|nope }} # 1 # 6 # no filter named 'nope'",
                "{{ 1 is nope }} # 1 # 9 # no test named 'nope'",
                "{% set true = 1 %} # 1 # 8 # is a constant",
                "{% macro m(a=1, b) %}{% endmacro %} # 1 # 17 # no default",
                "{{ f(a=1, 2) }} # 1 # 5 # out of order",
                "{{ '\\\\x1' }} # 1 # 4 # cut short"
            })
    void whatIsNoTemplateIsRefusedWhenRead(String template, int line, int column, String reason) {
        String source = template.replace("\\n", "\n").replace("\\r", "\r").replace("\\\\", "\\");
        JinjaException error = assertThrows(JinjaException.class, () -> JinjaTemplate.parse(source));
        assertTrue(error.reason().contains(reason), error.reason());
        assertEquals(line + ":" + column, error.line() + ":" + error.column(), error.reason());
        assertTrue(error.getMessage().contains("line " + line + ", column " + column), error.getMessage());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '#',
            quoteCharacter = '"',
            value = {
                "a\\n{{ x.y }} # 2 # 5 # 'x' is undefined",
                "{{ 1 + 'a' }} # 1 # 6 # unsupported operand",
                "{% for a in 5 %}{% endfor %} # 1 # 4 # not iterable",
                "\\n {{ [1]|map('string') }} # 2 # 2 # generator",
                "{{ [1].append(2) }} # 1 # 14 # not allowed",
                "{{ {}.update({}) }} # 1 # 13 # not allowed",
                "{{ 'a'.encode() }} # 1 # 14 # not supported",
                "{{ 'a'|safe + 'b' }} # 1 # 13 # 'safe'",
                "{{ lipsum() }} # 1 # 10 # not supported",
                "a\\n {{ self }} # 2 # 5 # self is not supported",
                "{% if self is defined %}{% endif %} # 1 # 7 # self is not supported",
                "{% macro m() %}{{ self.x }}{% endmacro %}{{ m() }} # 1 # 19 # self is not supported",
                "{{ (1)|round(method='x') }} # 1 # 8 # method must be",
                "{% if true %}{{ 1|nope }}{% endif %} # 1 # 19 # no filter named",
                "{% set a.b = 1 %} # 1 # 4 # no namespace",
                "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }} # 1 # 35 # not more than 1"
            })
    void whatFailsNamesThePlace(String template, int line, int column, String reason) {
        JinjaException error = assertThrows(JinjaException.class, () -> Cases.render(template.replace("\\n", "\n")));
        assertTrue(error.reason().contains(reason), error.reason());
        assertEquals(line + ":" + column, error.line() + ":" + error.column(), error.reason());
        assertFalse(error.isRefusal());
    }

    @Test
    void selfIsANameLikeOthersOnceItIsSet() {
        assertEquals("1", Cases.render("{% for self in [1] %}{{ self }}{% endfor %}"));
        assertEquals("2", Cases.render("{% macro m(self) %}{{ self }}{% endmacro %}{{ m(2) }}"));
        assertEquals("3", Cases.render("{% set self = 3 %}{{ self }}", Map.of("self", 7)));
        assertThrows(JinjaException.class, () -> Cases.render("{{ self }}", Map.of("self", 7)));
    }

    @Test
    void aRefusalHasTheTemplatesOwnWords() {
        JinjaException error = assertThrows(
                JinjaException.class,
                () -> Cases.render("a\n{{ raise_exception('Roles must alternate: ' ~ r) }}", Map.of("r", "user")));
        assertEquals("Roles must alternate: user", error.reason());
        assertTrue(error.isRefusal());
        assertEquals(2, error.line());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
                "{% macro m(n) %}{% if true %}{% for a in [1] %}{{ m([n]) }}{% endfor %}{% endif %}{% endmacro %}{{ m(1) }}",
                "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
                "{{ range(100001) }}",
                "{{ 'a' * 1000000000 }}",
                "{{ [0] * 1000000000 }}",
                "{{ 2 ** 100000000 }}",
                "{{ (10 ** 4000) ** 4000 }}",
                "{{ '%1000000000d' % 1 }}",
                "{{ '{:>1000000000}'.format(1) }}",
                "{{ 'a'.center(1000000000) }}",
                "{{ 'a'|center(1000000000) }}",
                "{{ 'a\nb'|indent(1000000000) }}",
                "{{ '%.999999f' % 1 }}",
                "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
                "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('', ns.s) %}{% endfor %}",
                "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
                "{% set ns = namespace(l=[]) %}{% for i in range(5000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
                "{% set ns = namespace(l=[]) %}{% for i in range(5000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l|tojson }}",
                "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
                "{% for a in range(100000) %}{{ range(100000)|sum }}{% endfor %}",
                "{% for a in range(100000) %}{{ 'abcdefgh' * 100000 }}{% endfor %}",
                "{% for a in range(100000) %}{{ range(100000)|list|sort|length }}{% endfor %}",
                "{% set ns = namespace(i=1) %}{% for i in range(1000) %}{% set ns.i = (ns.i + 1) ** 2 %}{% endfor %}"
            })
    void nothingRunsForEver(String template) {
        assertTimeoutPreemptively(
                Duration.ofSeconds(60),
                () -> assertThrows(JinjaException.class, () -> Cases.render(template)),
                template);
    }

    @ParameterizedTest
    @ValueSource(strings = {"(", "[", "{1:", "not ", "-", "a[", "a(", "{% if a %}", "{% for a in b %}", "a|f("})
    void nestingHasAnEnd(String piece) {
        String opened = piece.repeat(100_000);
        String source = piece.startsWith("{%") ? opened : "{{ " + opened;
        assertThrows(JinjaException.class, () -> JinjaTemplate.parse(source));
    }

    @ParameterizedTest
    @ValueSource(strings = {"+1", "~1", ".a", "[0]", "|d", " and 1", " or 0", " if 1", "==1"})
    void longChainsEndInAValueOrAnError(String link) {
        String source = "{{ 1" + link.repeat(100_000) + " }}";
        assertTimeoutPreemptively(Duration.ofSeconds(60), () -> {
            try {
                Cases.render(source);
            } catch (JinjaException e) {
                assertFalse(e.isRefusal());
            }
        });
    }

    @Test
    void valuesOfOtherKindsAreNotTaken() {
        JinjaException error =
                assertThrows(JinjaException.class, () -> Cases.render("{{ a }}", Map.of("a", List.of(new Object()))));
        assertTrue(error.reason().contains("expected null, a Boolean"), error.reason());
    }
}
