package dev.finetune4j.core.text.jinja;

import dev.finetune4j.testsupport.TemplateBombs;
import java.lang.management.ManagementFactory;
import java.time.Clock;
import java.util.List;
import java.util.Map;

/** A program that renders templates made to freeze or fill a JVM, and says of each how long it took and how it ended. */
public final class JinjaBombs {
    private JinjaBombs() {}

    /** Prints a line for each: its number, its milliseconds, {@code ok} or the exception, and how it begins. */
    public static void main(String[] arguments) {
        List<String> templates = TemplateBombs.all();
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
