package dev.finetune4j.lora.parallel;

import dev.finetune4j.core.FineTune4jException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.Charset;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Starts a program several times, as the ranks of one training: {@link DataParallel#launch}. */
final class LocalLauncher {
    /** In which the others may say why they end, and clean up, when one has failed. */
    private static final Duration GRACE = Duration.ofSeconds(10);

    private static final String THREADS = "OMP_NUM_THREADS";
    private static final String DEBUGGER = "-agentlib:jdwp";
    private static final String LOCALHOST = "127.0.0.1";

    private final List<Process> processes = new ArrayList<>();
    private final BlockingQueue<Process> ended = new LinkedBlockingQueue<>();
    private final PrintStream output;

    private LocalLauncher(PrintStream output) {
        this.output = output;
    }

    /** As {@link DataParallel#launch}. */
    static int launch(int count, Class<?> main, String[] arguments, PrintStream output) throws InterruptedException {
        if (count < 1) {
            throw new IllegalArgumentException("there must be at least 1 process, but " + count + " were asked for");
        }
        LocalLauncher launcher = new LocalLauncher(output);
        Thread hook = new Thread(launcher::endAll, "finetune4j-end-ranks");
        Runtime.getRuntime().addShutdownHook(hook);
        try {
            launcher.start(command(main, arguments), count);
            return launcher.await();
        } catch (IOException e) {
            throw new FineTune4jException("the processes of the ranks cannot be started: " + e.getMessage(), e);
        } finally {
            launcher.endAll();
            removeHook(hook);
        }
    }

    @SuppressWarnings("EmptyCatch")
    private static void removeHook(Thread hook) {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // This process is ending, and the hook does what it is for.
        }
    }

    private static List<String> command(Class<?> main, String[] arguments) {
        List<String> command = new ArrayList<>();
        command.add(ProcessHandle.current()
                .info()
                .command()
                .orElseGet(() ->
                        Path.of(System.getProperty("java.home"), "bin", "java").toString()));
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(option -> !option.startsWith(DEBUGGER))
                .forEach(command::add);
        @Nullable String modules = System.getProperty("jdk.module.path");
        if (modules != null && main.getModule().isNamed()) {
            command.addAll(List.of(
                    "--module-path", modules, "--module", main.getModule().getName() + "/" + main.getName()));
        } else {
            command.add(main.getName());
        }
        command.addAll(List.of(arguments));
        return command;
    }

    private void start(List<String> command, int count) throws IOException {
        int port = freePort();
        for (int rank = 0; rank < count; rank++) {
            ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
            Map<String, String> environment = builder.environment();
            environment.put("RANK", String.valueOf(rank));
            environment.put("LOCAL_RANK", String.valueOf(rank));
            environment.put("WORLD_SIZE", String.valueOf(count));
            environment.put("MASTER_ADDR", LOCALHOST);
            environment.put("MASTER_PORT", String.valueOf(port));
            environment.putIfAbsent(
                    THREADS, String.valueOf(Math.max(1, Runtime.getRuntime().availableProcessors() / count)));
            // Not an argument: it may be longer than arguments may be.
            environment.put("CLASSPATH", System.getProperty("java.class.path", ""));
            Process process = builder.start();
            process.getOutputStream().close();
            synchronized (processes) {
                processes.add(process);
            }
            forward(process, "[rank " + rank + "] ");
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return probe.getLocalPort();
        }
    }

    private void forward(Process process, String prefix) {
        Thread thread = new Thread(
                () -> {
                    try (BufferedReader lines = new BufferedReader(
                            new InputStreamReader(process.getInputStream(), Charset.defaultCharset()))) {
                        lines.lines().forEach(line -> output.println(prefix + line));
                    } catch (IOException | UncheckedIOException e) {
                        output.println(prefix + "(its output cannot be read any more: " + e.getMessage() + ")");
                    }
                    // After its last line, so that nothing is printed when all have ended.
                    ended.add(process);
                },
                "finetune4j-output-" + prefix);
        thread.setDaemon(true);
        thread.start();
    }

    private int await() throws InterruptedException {
        int running = processes.size();
        int status = 0;
        long end = Long.MAX_VALUE;
        while (running > 0) {
            @Nullable
            Process next = status == 0 ? ended.take() : ended.poll(end - System.nanoTime(), TimeUnit.NANOSECONDS);
            if (next == null) {
                return status;
            }
            running--;
            if (status == 0 && next.waitFor() != 0) {
                status = next.exitValue();
                end = System.nanoTime() + GRACE.toNanos();
            }
        }
        return status;
    }

    /** Ends those that still run: by asking, and those that do not hear by force. */
    private void endAll() {
        List<Process> all;
        synchronized (processes) {
            all = List.copyOf(processes);
        }
        all.forEach(Process::destroy);
        long end = System.nanoTime() + GRACE.toNanos();
        boolean interrupted = false;
        for (Process process : all) {
            try {
                if (!process.waitFor(end - System.nanoTime(), TimeUnit.NANOSECONDS)) {
                    process.destroyForcibly();
                }
            } catch (InterruptedException e) {
                interrupted = true;
                process.destroyForcibly();
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
