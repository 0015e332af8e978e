package dev.finetune4j.lora.hostile;

import dev.finetune4j.lora.LanguageModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * A program that reads changed settings files the way users do and prints a line that begins with BAD for each that ends
 * in something else than a result or an exception of the library, or takes too long. Arguments: the kinds of files
 * (separated by commas), the first seed, how many seeds, and complete folders, which the seeds take turns in.
 */
public final class HostileFiles {
    /** The file that names the case at hand, in case the whole process ends. */
    static final String CURRENT = "current.txt";

    private static final long MAX_MILLIS = 2_000;
    private static final long HANG_MILLIS = 20_000;

    private static final AtomicLong STARTED = new AtomicLong(Long.MAX_VALUE);
    private static final AtomicReference<String> CASE = new AtomicReference<>("none");

    private HostileFiles() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        watch();
        long first = Long.parseLong(arguments[1]);
        long count = Long.parseLong(arguments[2]);
        List<Path> folders = new ArrayList<>();
        for (int i = 3; i < arguments.length; i++) {
            folders.add(Path.of(arguments[i]));
        }
        try {
            for (String kind : arguments[0].split(",", -1)) {
                if (kind.equals("bombs")) {
                    bombs(folders.get(0));
                } else {
                    fuzz(kind, folders, first, count);
                }
            }
        } catch (Throwable e) {
            e.printStackTrace(System.out);
        } finally {
            Runtime.getRuntime().halt(0);
        }
    }

    private static void fuzz(String kind, List<Path> folders, long first, long count) throws IOException {
        long start = System.nanoTime();
        long loaded = 0;
        long longest = 0;
        int each = folders.size();
        for (int i = 0; i < each; i++) {
            Path folder = folders.get(i);
            Path file = folder.resolve(kind);
            String original = Files.readString(file);
            Mutator mutator = new Mutator(original, kind.endsWith(".jinja"));
            LanguageModel base = LanguageModel.load(folder);
            for (long seed = first + Math.floorMod(i - first, each); seed < first + count; seed += each) {
                Files.write(file, mutator.changed(seed));
                long begun = System.nanoTime();
                String outcome =
                        timed(kind + " seed " + seed + " in " + folder, kind, folder, base, seed / each % 8 == 0);
                longest = Math.max(longest, (System.nanoTime() - begun) / 1_000_000);
                loaded += outcome.isEmpty() ? 1 : 0;
            }
            Files.writeString(file, original);
            base.close();
        }
        System.out.printf(
                "DONE %s seeds %d to %d, %d loaded, longest %d ms, %d s%n",
                kind, first, first + count - 1, loaded, longest, (System.nanoTime() - start) / 1_000_000_000);
    }

    private static void bombs(Path folder) throws IOException, InterruptedException {
        long start = System.nanoTime();
        try (LanguageModel base = LanguageModel.load(folder)) {
            for (Bombs.Bomb bomb : Bombs.all()) {
                Path file = folder.resolve(bomb.file());
                Files.move(file, Bombs.intact(file));
                bomb.placing().place(file);
                timed(bomb.file() + " bomb " + bomb.name(), bomb.file(), folder, base, true);
                remove(file);
                Files.move(Bombs.intact(file), file);
            }
        }
        System.out.printf("DONE %d bombs, %d s%n", Bombs.all().size(), (System.nanoTime() - start) / 1_000_000_000);
    }

    private static void remove(Path file) throws IOException {
        if (Files.isDirectory(file)) {
            Files.deleteIfExists(file.resolve("a/b"));
            Files.deleteIfExists(file.resolve("a"));
        }
        Files.delete(file);
    }

    private static String timed(String name, String kind, Path folder, LanguageModel base, boolean wide)
            throws IOException {
        CASE.set(name);
        Files.writeString(folder.resolve(CURRENT), name);
        long start = System.nanoTime();
        STARTED.set(start);
        String outcome = UserPaths.outcome(kind, folder, base, wide);
        long millis = (System.nanoTime() - start) / 1_000_000;
        STARTED.set(Long.MAX_VALUE);
        if (outcome.startsWith("!") || millis > MAX_MILLIS) {
            System.out.println("BAD " + name + ": " + millis + " ms " + outcome);
        }
        if (Boolean.getBoolean("hostile.show")) {
            System.out.println(name + ": " + millis + " ms " + outcome);
        }
        return outcome;
    }

    private static void watch() {
        Thread main = Thread.currentThread();
        Thread watchdog = new Thread(
                () -> {
                    while (true) {
                        try {
                            Thread.sleep(500);
                        } catch (InterruptedException e) {
                            return;
                        }
                        if (System.nanoTime() - STARTED.get() > HANG_MILLIS * 1_000_000) {
                            System.out.println("BAD " + CASE.get() + ": hangs");
                            for (StackTraceElement element : main.getStackTrace()) {
                                System.out.println("        at " + element);
                            }
                            Runtime.getRuntime().halt(3);
                        }
                    }
                },
                "watchdog");
        watchdog.setDaemon(true);
        watchdog.start();
    }
}
