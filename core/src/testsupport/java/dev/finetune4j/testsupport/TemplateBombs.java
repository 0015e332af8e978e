package dev.finetune4j.testsupport;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/** Chat templates that are made to freeze or fill a JVM. */
public final class TemplateBombs {
    private TemplateBombs() {}

    /** Those of the list, one a line, and some that are too long for it. */
    public static List<String> all() {
        List<String> templates = new ArrayList<>();
        try (InputStream list =
                Objects.requireNonNull(TemplateBombs.class.getResourceAsStream("/hostile/jinja-bombs.txt"))) {
            templates.addAll(new String(list.readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .toList());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        templates.add("{{ " + "(".repeat(100_000) + "1" + ")".repeat(100_000) + " }}");
        templates.add("{% if a %}".repeat(20_000) + "{% endif %}".repeat(20_000));
        templates.add("{{ 1" + "+1".repeat(200_000) + " }}");
        templates.add("{{ 1" + "~1".repeat(200_000) + " }}");
        templates.add("{{ a" + ".a".repeat(200_000) + " }}");
        templates.add("{{ 'a'" + "|upper".repeat(100_000) + " }}");
        templates.add("{{ 1" + "_1".repeat(200_000) + " }}");
        templates.add("{{ " + "1".repeat(500_000) + " }}");
        templates.add("{{ " + "not ".repeat(100_000) + "1 }}");
        templates.add("{#".repeat(400_000));
        templates.add("{%".repeat(400_000));
        templates.add("{%" + " ".repeat(900_000));
        templates.add(("{%" + " ".repeat(900)).repeat(1_000));
        templates.add("{% raw %}" + ("{%" + " ".repeat(900)).repeat(1_000));
        templates.add("{{ '" + "\\x41".repeat(200_000) + "' }}");
        templates.add("{{ '" + "\\".repeat(900_000));
        templates.add(" \n".repeat(400_000) + "{%- set x = 1 %}");
        templates.add("{% macro m(" + "a,".repeat(50_000) + "b) %}{% endmacro %}"
                + "{% for i in range(100000) %}{{ m() }}{% endfor %}");
        String with = "{% with %}".repeat(140);
        templates.add(
                "{% set g = 1 %}" + with + "{% for i in range(100000) %}{% for j in range(1000) %}{{ g }}{% endfor %}"
                        + "{% endfor %}" + "{% endwith %}".repeat(140));
        templates.add("a".repeat(2_000_000));
        return templates;
    }
}
