package dev.finetune4j.benchmarks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.openjdk.jmh.runner.BenchmarkList;
import org.openjdk.jmh.runner.format.OutputFormatFactory;
import org.openjdk.jmh.runner.options.VerboseMode;

class BenchmarkTableTest {
    /** Times, rates and ratios by hand: 512 tokens are 17.18 GFLOP, at 458 GFLOP/s 37.5 ms; NF4 at one token 8.66 MB. */
    private static final String TABLES = """
            Measured on a machine, 2 processors. Its limits: 458 GFLOP/s in bf16, 229 GFLOP/s in fp32, 28 GB/s read, 43 GB/s copied (bytes read and written).

            ### linear

            device cpu, type bf16, load average 0.31 before, 1.97 after

            | | form | module | preset | rotation | shape | tokens | ms | rate | of dense | of the limit | heap B/op |
            |---|---|---|---|---|---|---|--:|--:|--:|--:|--:|
            | linear forward | dense |  |  | 256 | 4096x4096 | 1 | 3.00 | 11.2 GFLOP/s |  | 0.40 | 800 |
            | linear forward | dense |  |  | 256 | 4096x4096 | 512 | 40.0 | 429 GFLOP/s |  | 0.94 | 801 |
            | linear forward | nf4 |  |  | 256 | 4096x4096 | 1 | 0.500 | 67.1 GFLOP/s | 6.00 | 0.62 | 1,235 |
            | linear forward | nf4 |  |  | 256 | 4096x4096 | 512 | 50.0 | 344 GFLOP/s | 0.80 | 0.75 | 1,300 |
            | lora forward | nf4 | self_attn.q_proj | layer |  |  | 512 | 64.0 | 268 GFLOP/s | 0.63 | 0.59 | 5,000 |

            ### quantization

            device cpu, rotation 256, shape 4096x4096, type bf16, load average 1.97 before, 1.50 after

            | | ms | rate | of dense | of the limit | heap B/op |
            |---|--:|--:|--:|--:|--:|
            | quantization copy | 2.00 | 8.39 Gelem/s |  | 0.78 |  |
            | quantization dequantize | 1.60 | 10.5 Gelem/s | 1.25 | 0.61 | 1 |

            ### step

            batch 1, checkpointing none, device cpu, preset 0.5b-32k, tokens 256, type bf16, load average ? before, ? after

            | | form | ms | rate | of dense | of the limit | heap B/op | peak MiB |
            |---|---|--:|--:|--:|--:|--:|--:|
            | trainstep step | dense | 1,500 | 171 tokens/s |  | 0.59 | 300,000 | 1,900 |
            | trainstep step | nf4 | 1,000 | 256 tokens/s | 1.50 | 0.89 | 300,000 | 1,501 |
            """;

    private static Path fixture() {
        return TestData.resource("results");
    }

    @Test
    void aFolderOfResultsBecomesTables() throws Exception {
        assertEquals(TABLES, BenchmarkTable.render(fixture()));
    }

    @Test
    void onlyWhatStandsBetweenTheMarksIsReplaced(@TempDir Path folder) throws Exception {
        Path readme = folder.resolve("README.md");
        String before = "# Title\n" + BenchmarkTable.BEGIN + "\nold\n" + BenchmarkTable.END + "\nthe end\n";
        Files.writeString(readme, before);
        BenchmarkTable.main(new String[] {"--results", fixture().toString(), "--into", readme.toString()});
        String expected = "# Title\n" + BenchmarkTable.BEGIN + "\n" + TABLES + BenchmarkTable.END + "\nthe end\n";
        assertEquals(expected, Files.readString(readme));
        for (String bad : new String[] {"# Title\n", BenchmarkTable.END + "\n" + BenchmarkTable.BEGIN}) {
            assertThrows(IllegalArgumentException.class, () -> BenchmarkTable.between(bad, TABLES, readme));
        }
    }

    @Test
    void unknownLimitsAndFilesAreToldOf(@TempDir Path folder) throws Exception {
        assertThrows(IOException.class, () -> BenchmarkTable.render(folder));
        Path file = folder.resolve("01-a.json");
        Files.copy(fixture().resolve("02-quantization.json"), file);
        assertTrue(BenchmarkTable.render(folder)
                .startsWith("Measured on an unknown machine. Its limits: not measured.\n"));
        Files.writeString(file, "{}");
        assertTrue(assertThrows(IOException.class, () -> BenchmarkTable.render(folder))
                .getMessage()
                .contains("no result of JMH"));
    }

    @Test
    void aLimitThatIsMissingIsNoLimit() throws Exception {
        Work work = new Work(1, Work.Unit.TOKENS, 458e9, 56e9, 0);
        Limits limits = Limits.read(fixture().resolve("limits.properties"));
        assertEquals(2, limits.seconds(work, "cpu", "bf16").orElseThrow(), 1e-9);
        assertEquals(OptionalDouble.empty(), limits.seconds(work, "cuda", "bf16"));
        assertEquals(OptionalDouble.empty(), limits.seconds(new Work(1, Work.Unit.TOKENS, 0, 0, 0), "cpu", "bf16"));
    }

    @Test
    void theWorkOfEveryBenchmarkIsKnown() {
        Map<String, String> parameters = Map.of(
                "device",
                "cpu",
                "type",
                "bf16",
                "form",
                "nf4",
                "shape",
                "64x128",
                "rotation",
                "0",
                "preset",
                "tiny",
                "module",
                "mlp.down_proj",
                "tokens",
                "8");
        Map<String, String> more = Map.of("batch", "2", "characters", "100", "rows", "3", "checkpointing", "none");
        BenchmarkList.defaultList()
                .getAll(OutputFormatFactory.createFormatInstance(System.out, VerboseMode.SILENT), List.of())
                .forEach(entry -> {
                    String[] name = entry.getUsername().split("\\.", -1);
                    Map<String, String> all = new HashMap<>(parameters);
                    all.putAll(more);
                    Measurement measurement = new Measurement(
                            name[name.length - 2],
                            name[name.length - 1],
                            all,
                            1,
                            OptionalDouble.empty(),
                            OptionalDouble.empty());
                    assertTrue(Work.of(measurement).amount() > 0, entry.getUsername());
                });
    }
}
