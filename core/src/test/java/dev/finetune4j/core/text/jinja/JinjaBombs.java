package dev.finetune4j.core.text.jinja;

import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** A program that renders templates made to freeze or fill a JVM, and says of each how long it took and how it ended. */
public final class JinjaBombs {
    private JinjaBombs() {}

    /** The templates: those of the list, one a line, and some that are too long for it. */
    static List<String> templates() throws IOException {
        List<String> templates = new ArrayList<>();
        try (InputStream list =
                Objects.requireNonNull(JinjaBombs.class.getResourceAsStream("/hostile/jinja-bombs.txt"))) {
            templates.addAll(new String(list.readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .toList());
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

    /** Prints a line for each: its number, its milliseconds, {@code ok} or the exception, and how it begins. */
    public static void main(String[] arguments) throws IOException {
        List<String> templates = templates();
        for (int i = 0; i < templates.size(); i++) {
            long start = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
            String outcome;
            try {
                JinjaTemplate.parse(templates.get(i)).render(Map.of(), Clock.systemUTC());
                outcome = "ok";
            } catch (JinjaException e) {
                outcome = "JinjaException";
            } catch (Throwable e) {
                outcome = e.getClass().getName();
            }
            long millis = (ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - start) / 1_000_000;
            String shown =
                    templates.get(i).substring(0, Math.min(120, templates.get(i).length()));
            System.out.println(i + "\t" + millis + "\t" + outcome + "\t" + shown.replace('\n', ' '));
        }
    }
}
