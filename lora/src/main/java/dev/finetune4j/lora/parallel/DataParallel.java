package dev.finetune4j.lora.parallel;

import dev.finetune4j.core.SettingsException;
import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Which of the processes of a training this one is (its rank), and where it finds the others. Immutable.
 *
 * <pre>{@code
 * public static void main(String[] args) throws InterruptedException {
 *     if (!DataParallel.isLaunched()) {
 *         System.exit(DataParallel.launch(2, Main.class, args, System.out));
 *     }
 *     … FineTuner.builder()….dataParallel(DataParallel.fromEnvironment()) …
 * }
 * }</pre>
 *
 * @param rank its number among all processes, counted from 0
 * @param localRank its number among those of its machine, and that of its GPU unless a device is chosen
 * @param worldSize number of all processes; 1 trains alone
 * @param masterAddress host name or address of rank 0
 * @param masterPort port on which rank 0 serves the store where the ranks find each other, from 1 to 65535
 * @param agentStore whether a launcher such as torchrun serves that store instead of rank 0
 * @param joinTimeout how long to wait for the others in the beginning
 */
public record DataParallel(
        int rank,
        int localRank,
        int worldSize,
        String masterAddress,
        int masterPort,
        boolean agentStore,
        Duration joinTimeout) {
    private static final int MAX_PORT = 65_535;
    private static final Duration USUAL_TIMEOUT = Duration.ofMinutes(5);
    private static final String RANK = "RANK";
    private static final String WORLD_SIZE = "WORLD_SIZE";

    /** @throws SettingsException naming all components that are out of their range */
    public DataParallel {
        Objects.requireNonNull(masterAddress, "masterAddress");
        Objects.requireNonNull(joinTimeout, "joinTimeout");
        List<String> problems = new ArrayList<>();
        if (worldSize < 1) {
            problems.add("worldSize is " + worldSize + ", but there has to be one process at least");
        } else if (rank < 0 || rank >= worldSize) {
            problems.add(
                    "rank is " + rank + ", but of " + worldSize + " processes the ranks are 0 to " + (worldSize - 1));
        }
        if (localRank < 0) {
            problems.add("localRank is " + localRank + ", but it is counted from 0");
        }
        if (masterPort < 1 || masterPort > MAX_PORT) {
            problems.add("masterPort is " + masterPort + ", but ports are from 1 to " + MAX_PORT);
        }
        if (joinTimeout.isNegative() || joinTimeout.isZero()) {
            problems.add("joinTimeout is " + joinTimeout + ", but it has to be above 0");
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /**
     * What torchrun, {@link #launch} or a cluster's scheduler has said in {@code RANK}, {@code LOCAL_RANK}, {@code WORLD_SIZE},
     * {@code MASTER_ADDR} and {@code MASTER_PORT}.
     *
     * @throws SettingsException naming all that are missing or wrong
     */
    public static DataParallel fromEnvironment() {
        return from(System.getenv());
    }

    static DataParallel from(Map<String, String> environment) {
        List<String> problems = new ArrayList<>();
        int rank = number(environment, RANK, problems);
        int localRank = number(environment, "LOCAL_RANK", problems);
        int worldSize = number(environment, WORLD_SIZE, problems);
        int port = number(environment, "MASTER_PORT", problems);
        @Nullable String address = environment.get("MASTER_ADDR");
        if (address == null || address.isBlank()) {
            problems.add(missing("MASTER_ADDR"));
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
        return new DataParallel(
                rank,
                localRank,
                worldSize,
                Objects.requireNonNull(address),
                port,
                "True".equalsIgnoreCase(environment.get("TORCHELASTIC_USE_AGENT_STORE")),
                USUAL_TIMEOUT);
    }

    private static int number(Map<String, String> environment, String name, List<String> problems) {
        @Nullable String value = environment.get(name);
        if (value == null || value.isBlank()) {
            problems.add(missing(name));
            return 0;
        }
        try {
            return Integer.parseInt(value.strip());
        } catch (NumberFormatException e) {
            problems.add("the environment variable " + name + " is \"" + value + "\", but it has to be a number");
            return 0;
        }
    }

    private static String missing(String name) {
        return "the environment variable " + name
                + " is not set; start the processes with DataParallel.launch or torchrun, or leave dataParallel(…) out";
    }

    /** Whether a launcher has started this process as one of several. */
    public static boolean isLaunched() {
        return System.getenv(RANK) != null && System.getenv(WORLD_SIZE) != null;
    }

    /** Whether this process speaks and writes for all: it is rank 0. */
    public boolean isFirst() {
        return rank == 0;
    }

    /** The same with another time to wait for the others in the beginning. */
    public DataParallel withJoinTimeout(Duration timeout) {
        return new DataParallel(rank, localRank, worldSize, masterAddress, masterPort, agentStore, timeout);
    }

    /**
     * Starts a program several times on this machine, as the ranks of one training, and waits for all of them. When one fails, the
     * others are ended; when this process is asked to end, so are they.
     *
     * <p>The processes have the JVM, its options, the class path or module path, the folder and the environment of this one, and learn who
     * they are from the environment variables that {@link #fromEnvironment} reads. The processor's cores are divided among them unless {@code
     * OMP_NUM_THREADS} is set.
     *
     * @param count how many, at least 1
     * @param main the class whose main method they run
     * @param arguments of the program
     * @param output gets each line that they print, on either stream, behind {@code [rank 0] } and so on
     * @return 0 when all have ended well, otherwise the exit status of the first that has not
     * @throws IllegalArgumentException if the number is below 1
     * @throws dev.finetune4j.core.FineTune4jException if a process cannot be started
     * @throws InterruptedException if this thread is interrupted; the processes are ended then
     */
    public static int launch(int count, Class<?> main, String[] arguments, PrintStream output)
            throws InterruptedException {
        return LocalLauncher.launch(count, main, arguments, output);
    }
}
