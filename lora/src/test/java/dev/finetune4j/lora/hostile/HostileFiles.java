package dev.finetune4j.lora.hostile;

import dev.finetune4j.LanguageModel;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * A program that reads changed files the way users do and prints a line that begins with BAD for each that ends in
 * something else than a result or an exception of the library, takes too long or too much memory. Arguments: the kinds
 * of files (separated by commas; or "bombs"), the first seed, how many seeds (for bombs, that one of so many is tried),
 * and complete folders, which the seeds take turns in.
 */
public final class HostileFiles {
    /** The file that names the case at hand, in case the whole process ends; its file lies there as well. */
    static final String CURRENT = "current.txt";

    /** Where files are copied that end badly. */
    static final String SAVED = "hostile.saved";

    private static final long MAX_MILLIS = 2_000;
    /** A machine that is busy with other things does not count, up to here. */
    private static final long MAX_WAITED_MILLIS = 10_000;

    private static final long HANG_MILLIS = 30_000;
    /** Heap, libraries and what these take. */
    private static final long MAX_RESIDENT_MIB = 2_048;

    private static final int SLOW = 5;

    private static final AtomicLong STARTED = new AtomicLong(Long.MAX_VALUE);
    private static final AtomicReference<String> CASE = new AtomicReference<>("none");
    private static final AtomicReference<Path> FILE = new AtomicReference<>(Path.of(""));
    private static final com.sun.management.OperatingSystemMXBean PROCESS =
            (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private HostileFiles() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        watch();
        long first = Long.parseLong(arguments[1]);
        long count = Long.parseLong(arguments[2]);
        List<Path> folders = List.of(arguments).subList(3, arguments.length).stream()
                .map(Path::of)
                .toList();
        try (LanguageModel base = LanguageModel.load(folders.get(0))) {
            for (String kind : arguments[0].split(",", -1)) {
                if (kind.equals("bombs")) {
                    bombs(folders.get(0), base, first, count);
                } else {
                    fuzz(kind, folders, base, first, count);
                }
            }
        } catch (Throwable e) {
            e.printStackTrace(System.out);
        } finally {
            Runtime.getRuntime().halt(0);
        }
    }

    private static void fuzz(String kind, List<Path> folders, LanguageModel base, long first, long count)
            throws IOException {
        long start = System.nanoTime();
        long loaded = 0;
        long asked = 0;
        long longest = 0;
        String slowest = "none";
        int each = folders.size();
        for (int i = 0; i < each; i++) {
            Path folder = folders.get(i);
            Path file = folder.resolve(kind);
            String original = Files.readString(file);
            Mutator mutator = new Mutator(original, kind.endsWith(".jinja"));
            List<Path> hidden = hide(kind, folder);
            for (long seed = first + Math.floorMod(i - first, each); seed < first + count; seed += each) {
                Files.write(file, mutator.changed(seed));
                long begun = System.nanoTime();
                String name = kind + " seed " + seed + " in " + folder.getFileName();
                String outcome = timed(name, kind, folder, base, false);
                long millis = (System.nanoTime() - begun) / 1_000_000;
                slowest = millis > longest ? name : slowest;
                longest = Math.max(longest, millis);
                loaded += outcome.isEmpty() ? 1 : 0;
                if (seed / each % SLOW == 0 && !kind.startsWith("adapter")) {
                    asked += timed(name + ", asked", kind, folder, base, true).isEmpty() ? 1 : 0;
                }
            }
            Files.writeString(file, original);
            for (Path path : hidden) {
                Files.move(Bombs.intact(path), path);
            }
        }
        System.out.printf(
                "DONE %s: seeds %d to %d in %d folders, %d results, %d of every fifth answered, longest %d ms (%s), at most %d MiB, %d s%n",
                kind,
                first,
                first + count - 1,
                each,
                loaded,
                asked,
                longest,
                slowest,
                resident("VmHWM"),
                (System.nanoTime() - start) / 1_000_000_000);
    }

    /** What would be read instead of a kind of file. */
    private static List<Path> hide(String kind, Path folder) throws IOException {
        Path instead = folder.resolve(
                kind.endsWith(".index.json")
                        ? "model.safetensors"
                        : kind.equals("chat_template.json") ? "chat_template.jinja" : "none");
        if (!Files.exists(instead)) {
            return List.of();
        }
        Files.move(instead, Bombs.intact(instead));
        return List.of(instead);
    }

    private static void bombs(Path folder, LanguageModel base, long offset, long every)
            throws IOException, InterruptedException {
        long start = System.nanoTime();
        long longest = 0;
        String slowest = "none";
        List<Bombs.Bomb> all = new ArrayList<>();
        long place = 0;
        for (Bombs.Bomb bomb : Bombs.all()) {
            if (Math.floorMod(place++ + offset, every) == 0) {
                all.add(bomb);
            }
        }
        for (Bombs.Bomb bomb : all) {
            Path file = folder.resolve(bomb.file());
            List<Path> hidden = hide(bomb.file(), folder);
            Files.move(file, Bombs.intact(file));
            bomb.placing().place(file);
            long begun = System.nanoTime();
            timed(bomb.file() + " bomb " + bomb.name(), bomb.file(), folder, base, false);
            long millis = (System.nanoTime() - begun) / 1_000_000;
            if (!bomb.file().startsWith("adapter")) {
                timed(bomb.file() + " bomb " + bomb.name() + ", asked", bomb.file(), folder, base, true);
            }
            slowest = millis > longest ? bomb.file() + " " + bomb.name() : slowest;
            longest = Math.max(longest, millis);
            remove(file);
            Files.move(Bombs.intact(file), file);
            for (Path path : hidden) {
                Files.move(Bombs.intact(path), path);
            }
        }
        System.out.printf(
                "DONE %d bombs, longest %d ms (%s), at most %d MiB, %d s%n",
                all.size(), longest, slowest, resident("VmHWM"), (System.nanoTime() - start) / 1_000_000_000);
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
        FILE.set(folder.resolve(kind));
        Files.writeString(folder.resolveSibling(CURRENT), folder.resolve(kind) + "\n" + name);
        long processor = PROCESS.getProcessCpuTime();
        long start = System.nanoTime();
        STARTED.set(start);
        String outcome = UserPaths.outcome(kind, folder, base, wide);
        long millis = (System.nanoTime() - start) / 1_000_000;
        STARTED.set(Long.MAX_VALUE);
        long worked = Math.min(millis, (PROCESS.getProcessCpuTime() - processor) / 1_000_000);
        long memory = resident("VmRSS");
        if (outcome.startsWith("!") || worked > MAX_MILLIS || millis > MAX_WAITED_MILLIS || memory > MAX_RESIDENT_MIB) {
            System.out.println("BAD " + name + ": " + millis + " ms (" + worked + " of the processor), " + memory
                    + " MiB " + outcome + " " + save());
        }
        if (Boolean.getBoolean("hostile.show")) {
            System.out.println(name + ": " + millis + " ms " + outcome);
        }
        return outcome;
    }

    /** A line of what the system says of this process, in MiB; 0 where it says nothing. */
    private static long resident(String line) throws IOException {
        Path status = Path.of("/proc/self/status");
        if (!Files.exists(status)) {
            return 0;
        }
        return Files.readAllLines(status).stream()
                .filter(text -> text.startsWith(line))
                .mapToLong(text -> Long.parseLong(text.replaceAll("\\D", "")) >> 10)
                .findFirst()
                .orElse(0);
    }

    private static String save() {
        String folder = System.getProperty(SAVED);
        return folder == null ? "" : saved(FILE.get(), Path.of(folder), CASE.get());
    }

    /** Copies the file of a case to where it outlives the test, and says where. */
    static String saved(Path file, Path folder, String name) {
        Path target = folder.resolve(name.replaceAll("[^A-Za-z0-9._-]+", "_"));
        try {
            Files.createDirectories(folder);
            if (Files.isRegularFile(file) && Files.size(file) < 100_000_000) {
                Files.write(target, Files.readAllBytes(file));
            }
            return "saved as " + target;
        } catch (IOException e) {
            return "could not be saved: " + e;
        }
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
                            System.out.println("BAD " + CASE.get() + ": hangs, " + save());
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
