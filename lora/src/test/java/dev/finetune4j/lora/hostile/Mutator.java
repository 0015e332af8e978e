package dev.finetune4j.lora.hostile;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Random;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/** Changes the text of a settings file, some bytes or a value at a time, in a way that a seed decides. */
final class Mutator {
    /** A value or a name in JSON, roughly: texts, numbers and words. */
    private static final Pattern PIECE =
            Pattern.compile("\"(?:[^\"\\\\]|\\\\.){0,200}+\"|-?\\d[\\d.eE+-]*+|true|false|null");

    private static final List<String> VALUES = List.of(
            "0",
            "-1",
            "1",
            "2147483647",
            "2147483648",
            "-2147483649",
            "9223372036854775807",
            "1e400",
            "-1e400",
            "1e-400",
            "0.5",
            "4.9999999999",
            "9".repeat(400),
            "9".repeat(5_000),
            "NaN",
            "Infinity",
            "-Infinity",
            "true",
            "false",
            "null",
            "\"\"",
            "\"\\ud800\"",
            "\"\\u0000\"",
            "\"\u4f60\u597d\"",
            "\"\ud83d\ude00\"",
            "[]",
            "{}",
            "[[]]",
            "[null]",
            "[-1]",
            "{\"a\":1}",
            "{\"type\":\"Sequence\"}",
            "\"" + "x".repeat(3_000) + "\"",
            "[".repeat(900) + "]".repeat(900),
            "[".repeat(2_000) + "]".repeat(2_000),
            "[" + "0,".repeat(20_000) + "0]",
            "[" + "\"a\",".repeat(20_000) + "\"a\"]",
            "\"(a+)+b\"",
            "\"(?:(.)|(.))*\\\\1!\"",
            "\"{{ ('a'*4000000).find('a'*2000000 ~ 'b') }}\"",
            "\"../../etc/passwd\"",
            "\"all-linear\"");

    private static final List<String> JINJA = List.of(
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "'",
            "\"",
            "|",
            "(",
            ")",
            "[",
            "]",
            "~",
            "+",
            "*",
            "**",
            "//",
            "messages",
            "loop",
            "namespace(x=1)",
            "range(99999)",
            "{% for m in messages %}",
            "{% endfor %}",
            "{% if true %}",
            "{% else %}",
            "{% endif %}",
            "{% set x = [x, x] %}",
            "{{ x * 999999 }}",
            "|tojson",
            "|join",
            "|upper",
            "|list",
            "|sort",
            "|unique|list",
            "{{ messages * 100000 }}",
            "{% macro m(a) %}{{ m(a) }}{% endmacro %}{{ m(1) }}",
            "{% generation %}",
            "{% endgeneration %}",
            "{{ raise_exception('x') }}",
            "{{ 10 ** 100000 }}",
            ".content",
            "['role']",
            "\u4e2d",
            "\ud83d\ude00",
            "\u0000",
            "{% raw %}",
            "{{ bos_token }}",
            "{{ '%*d' % (99999999, 1) }}");

    private final String original;
    private final boolean template;
    private Random random = new Random(0);

    /**
     * @param original the text of the file
     * @param template whether it is a chat template; else it is JSON
     */
    Mutator(String original, boolean template) {
        this.original = original;
        this.template = template;
    }

    /** The bytes of the file with a few changes. */
    byte[] changed(long seed) {
        random = new Random(seed * 0x9e3779b97f4a7c15L + 17);
        if (template) {
            return random.nextBoolean() ? jinja(original) : bytes(written());
        }
        return random.nextInt(3) == 0 ? json(original) : bytes(new JsonMutator(random, VALUES).changed(original));
    }

    private byte[] json(String text) {
        String changed = text;
        for (int i = 1 + random.nextInt(3); i > 0; i--) {
            changed = random.nextInt(4) == 0
                    ? signs(changed, List.of("{", "}", "[", "]", ",", ":", "\"", "\\", "\uff1a"))
                    : values(changed);
        }
        return bytes(changed);
    }

    /** A template at random, alone or with the original. */
    private String written() {
        JinjaWriter writer = new JinjaWriter(random);
        String whole = random.nextInt(3) == 0 ? original + writer.template() : writer.template();
        return random.nextInt(3) == 0 ? whole + original : whole;
    }

    private byte[] jinja(String text) {
        String changed = text;
        for (int i = 1 + random.nextInt(4); i > 0; i--) {
            changed = signs(changed, JINJA);
        }
        return bytes(changed);
    }

    private byte[] bytes(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        if (random.nextInt(8) == 0 && bytes.length > 0) {
            for (int i = 1 + random.nextInt(3); i > 0; i--) {
                bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
            }
        }
        return bytes;
    }

    private String values(String text) {
        List<MatchResult> pieces = PIECE.matcher(text).results().toList();
        if (pieces.isEmpty()) {
            return text;
        }
        MatchResult at = pieces.get(random.nextInt(pieces.size()));
        MatchResult other = pieces.get(random.nextInt(pieces.size()));
        String value = switch (random.nextInt(4)) {
            case 0 -> other.group();
            case 1 -> at.group() + (random.nextBoolean() ? "," + at.group() : "");
            default -> VALUES.get(random.nextInt(VALUES.size()));
        };
        return text.substring(0, at.start()) + value + text.substring(at.end());
    }

    private String signs(String text, List<String> signs) {
        int at = random.nextInt(text.length() + 1);
        int end = Math.min(text.length(), at + random.nextInt(12));
        return switch (random.nextInt(4)) {
            case 0 -> text.substring(0, at) + text.substring(end);
            case 1 -> text.substring(0, at) + text.substring(at, end) + text.substring(at);
            case 2 -> text.substring(0, at) + signs.get(random.nextInt(signs.size())) + text.substring(end);
            default -> text.substring(0, at) + signs.get(random.nextInt(signs.size())) + text.substring(at);
        };
    }
}
