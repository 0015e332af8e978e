package dev.finetune4j.benchmarks;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What {@code java -jar benchmarks.jar} starts: JMH with all its options and patterns, or one of the programs of this module
 * when the first argument is its name.
 */
public final class BenchmarkMain {
    private static final int ASKS_FOR_NATIVE_ACCESS = 24;

    private BenchmarkMain() {}

    public static void main(String[] args) throws IOException, InterruptedException {
        String[] rest = args.length == 0 ? args : Arrays.copyOfRange(args, 1, args.length);
        switch (args.length == 0 ? "" : args[0]) {
            case "TrainCells" -> TrainCells.main(rest);
            case "DecodeCells" -> DecodeCells.main(rest);
            case "KernelCells" -> KernelCells.main(rest);
            case "PlanCells" -> PlanCells.main(rest);
            case "StepBreakdown" -> StepBreakdown.main(rest);
            case "NoiseCells" -> NoiseCells.main(rest);
            case "RealCells" -> RealCells.main(rest);
            case "ServeCells" -> ServeCells.main(rest);
            case "DataParallelCells" -> DataParallelCells.main(rest);
            case "TwoGpuCell" -> TwoGpuCell.main(rest);
            case "PreferenceCells" -> PreferenceCells.main(rest);
            case "FirstLoss" -> FirstLoss.main(rest);
            case "BenchmarkTable" -> BenchmarkTable.main(rest);
            default -> org.openjdk.jmh.Main.main(forJmh(Runtime.version().feature(), args));
        }
    }

    /** JMH's arguments: newer Java asks for leave to load native code, and the manifest gives it to the first process only. */
    static String[] forJmh(int javaVersion, String... args) {
        if (javaVersion < ASKS_FOR_NATIVE_ACCESS || Arrays.asList(args).contains("-jvmArgsPrepend")) {
            return args;
        }
        List<String> all = new ArrayList<>(List.of(args));
        all.add("-jvmArgsPrepend");
        all.add("--enable-native-access=ALL-UNNAMED");
        return all.toArray(String[]::new);
    }
}
