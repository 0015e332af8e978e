package dev.finetune4j.benchmarks;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BreakdownTest {
    private static final String PRODUCT = "nvjet_sm90_tst_128x256_64x4_2x1_v_bz_coopA_NNT";
    private static final String SUM = "_ZN8cublasLt19splitKreduce_kernelILi32ELi16EifE";
    private static final String ADD =
            "_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_15CUDAFunctor_addIN3c108BFloat16EEESt5arrayIPcLm3EEEEviT0_T1_";

    @ParameterizedTest
    @CsvSource({
        "[memory copied to the GPU], COPY",
        "[memory set], COPY",
        "_ZN2at6native29unrolled_elementwise_kernelIZZZNS0_23direct_copy_kernel_cudaERNS_18TensorIteratorBaseE, COPY",
        "_ZN2at6native40_GLOBAL__N__2_Shape_cu_35CatArrayBatchedCopy_aligned16_contigI, COPY",
        "_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_11FillFunctorIfEESt5arrayIPcLm1EEEEviT0_T1_, COPY",
        "_ZN2at6native29vectorized_elementwise_kernelILi8ENS0_13AUnaryFunctorI, ELEMENTWISE",
        "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x128_4x1x1_cga1x1x1_kernel0_0, ATTENTION",
        "_ZN5cudnn6fusion22compute_dot_do_o_specializedI, ATTENTION",
        "_ZN7cutlass4gemm6kernel4fmha, ATTENTION",
        "_ZN16pytorch_flash16flash_fwd_kernelI, ATTENTION",
        "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_execute_segment_k_off, PRODUCT",
        "_ZN7cutlass7Kernel2I66cutlass_80_tensorop_bf16_s16816gemm_bf16_128x64_sliced1x2_ldg8, PRODUCT",
        "_Z16gemvNSP_kernelI13__nv_bfloat16, PRODUCT",
        "_ZN2at6native24vectorized_gather_kernelILi16ElEEvPcS2_PT0_illllb, VOCABULARY",
        "_ZN2at6native22indexFuncLargeIndexI, VOCABULARY",
        "_ZN2at6native12_GLOBAL__N_124cunn_SoftMaxForwardGmemILi8EfffNS1_29LogSoftMaxForwardEpilogueE, VOCABULARY",
        "_ZN2at6native13reduce_kernelILi512ELi1ENS0_8ReduceOpIfNS0_10NormTwoOpsIff, STEP",
        "_ZN2at6native13reduce_kernelILi512ELi1ENS0_8ReduceOpIdNS0_14func_wrapper_tI, SMALL",
        "my_kernel, UNKNOWN"
    })
    void kernelsOfOthersAreKnownByPartsOfTheirNames(String name, KernelRole role) {
        assertEquals(role, KernelRole.of(name));
    }

    @ParameterizedTest
    @CsvSource({
        "dequantize_bf16, MADE_DENSE",
        "cross_entropy_bf16, LOSS",
        "choose_bf16, CHOICE",
        "rows_tensor_8_2, GEMV",
        "gated_ring_3, GEMV",
        "low_rank_bf16, LOW_RANK_GEMV",
        "expert_low_rank_bf16, LOW_RANK_GEMV",
        "down_a, LOW_RANK",
        "gradient_b, LOW_RANK",
        "narrow_partial, LOW_RANK",
        "adamw_f32, STEP",
        "attend_bf16, ATTENTION",
        "attend_f32, ATTENTION",
        "embed_bf16, VOCABULARY",
        "rms_backward_bf16, ELEMENTWISE",
        "swiglu_forward_bf16, ELEMENTWISE",
        "geglu_tanh_backward_bf16, ELEMENTWISE",
        "rope_in_place_bf16, ELEMENTWISE",
        "norm_bf16, ELEMENTWISE",
        "dropout_bf16, ELEMENTWISE"
    })
    void kernelsOfTheLibraryAreKnownByTheirBeginnings(String name, KernelRole role) {
        assertEquals(role, KernelRole.of(name));
    }

    @Test
    void noKernelOfTheLibraryIsUnknown() throws Exception {
        Pattern named = Pattern.compile("__global__.*?\\b([a-z][a-z_0-9]*)(?:##\\w+)*\\(");
        Pattern byMacro = Pattern.compile("(?m)^[A-Z_]+\\(([a-z][a-z_0-9]+),");
        // They make weights 4-bit, which no step does; bounds and types stand where a name might.
        Set<String> others = Set.of("absmax", "pack", "nest", "f32", "bf16", "__launch_bounds__");
        Set<String> names = new TreeSet<>();
        for (Path source : sources()) {
            String text = Files.readString(source);
            for (Pattern pattern : List.of(named, byMacro)) {
                Matcher matcher = pattern.matcher(text);
                while (matcher.find()) {
                    names.add(matcher.group(1));
                }
            }
        }
        names.removeAll(others);
        assertTrue(
                names.containsAll(Set.of("adamw_f32", "rows_tensor_4", "dequantize_bf16", "swiglu", "geglu_tanh")),
                names::toString);
        for (String name : names) {
            assertFalse(KernelRole.of(name) == KernelRole.UNKNOWN, name);
        }
    }

    private static List<Path> sources() throws IOException {
        List<Path> sources = new ArrayList<>();
        for (String module : List.of("core", "quant", "lora")) {
            try (Stream<Path> files = Files.walk(Path.of("..", module, "src", "main", "resources"))) {
                files.filter(file -> file.toString().endsWith(".cu")).forEach(sources::add);
            }
        }
        return sources;
    }

    /** Kernels one after another, each of 10 ns and 2 ns apart. */
    private static List<TracedKernel> sequence(String... names) {
        List<TracedKernel> kernels = new ArrayList<>();
        for (String name : names) {
            long start = 1000 + 12L * kernels.size();
            kernels.add(new TracedKernel(name, start, start + 10));
        }
        return kernels;
    }

    private static List<KernelKind> kinds(double shortest, String... names) {
        return StepKinds.of(sequence(names), shortest);
    }

    @Test
    void aProductAfterAWeightIsMadeDenseIsOneWithIt() {
        assertEquals(
                List.of(
                        KernelKind.LORA,
                        KernelKind.ELEMENTWISE,
                        KernelKind.LORA,
                        KernelKind.DEQUANTIZE,
                        KernelKind.DEQUANTIZE,
                        KernelKind.BASE,
                        KernelKind.BASE,
                        KernelKind.LORA,
                        KernelKind.LORA),
                // However short: what a dense weight would take is not asked.
                kinds(1e9, PRODUCT, ADD, PRODUCT, "dequantize_bf16", "dequantize_bf16", PRODUCT, SUM, PRODUCT, SUM));
    }

    @Test
    void theProductsAroundALossAreTheHeads() {
        KernelKind head = KernelKind.VOCABULARY;
        assertEquals(
                List.of(
                        KernelKind.DEQUANTIZE,
                        KernelKind.BASE,
                        head,
                        head,
                        head,
                        head,
                        head,
                        KernelKind.OTHER,
                        head,
                        KernelKind.LORA),
                kinds(
                        0,
                        "dequantize_bf16",
                        PRODUCT,
                        PRODUCT,
                        SUM,
                        "cross_entropy_bf16",
                        PRODUCT,
                        SUM,
                        "_ZN2at6native13reduce_kernelI",
                        "_ZN2at6native22indexFuncLargeIndexI",
                        PRODUCT));
    }

    @Test
    void withDenseWeightsTheTimeOfAProductDecides() {
        List<TracedKernel> kernels = List.of(new TracedKernel(PRODUCT, 100, 199), new TracedKernel(PRODUCT, 200, 300));
        assertEquals(List.of(KernelKind.LORA, KernelKind.BASE), StepKinds.of(kernels, 100));
    }

    @Test
    void ofAStepOfDecodingTheLastProductIsTheHeads() {
        assertEquals(
                List.of(
                        KernelKind.VOCABULARY,
                        KernelKind.ELEMENTWISE,
                        KernelKind.LORA,
                        KernelKind.BASE,
                        KernelKind.VOCABULARY,
                        KernelKind.VOCABULARY),
                kinds(0, "embed_bf16", "norm_bf16", "low_rank_bf16", "gated_ring_3", "rows_tile", "choose_bf16"));
    }

    @Test
    void partsOfNoProductAreOther() {
        assertEquals(List.of(KernelKind.OTHER), kinds(0, SUM));
    }

    @Test
    void timeInWhichKernelsOverlapIsThatOfTheFirst() {
        List<TracedKernel> kernels = List.of(
                new TracedKernel("a", 0, 10),
                new TracedKernel("b", 5, 8),
                new TracedKernel("c", 9, 15),
                new TracedKernel("d", 15, 20),
                new TracedKernel("e", 30, 40));
        assertArrayEquals(new long[] {10, 0, 5, 5, 10}, Breakdown.ownNanos(kernels));
        assertArrayEquals(new long[0], Breakdown.ownNanos(List.of()));
    }

    private static Breakdown made() {
        List<TracedKernel> kernels = new ArrayList<>(List.of(
                // Four milliseconds in two steps, one of them idle, half of one doubly busy.
                new TracedKernel("rope_bf16", 1_000_000, 2_000_000),
                new TracedKernel("dequantize_bf16", 1_500_000, 2_000_000),
                new TracedKernel(PRODUCT, 3_000_000, 4_000_000),
                new TracedKernel("strange \"one\"", 4_000_000, 5_000_000)));
        Collections.reverse(kernels);
        return Breakdown.of(kernels, 2, 0);
    }

    @Test
    void timesAreThoseOfOneStep() {
        Breakdown breakdown = made();
        assertEquals(2.0, breakdown.wallMillis(), 1e-9);
        assertEquals(1.5, breakdown.busyMillis(), 1e-9);
        assertEquals(0.5, breakdown.gapMillis(), 1e-9);
        assertEquals(0, breakdown.part(KernelKind.DEQUANTIZE).millis(), 1e-9);
        assertEquals(0.5, breakdown.part(KernelKind.DEQUANTIZE).launches(), 1e-9);
        assertEquals(2.0, breakdown.total().launches(), 1e-9);
        assertEquals(0.5, breakdown.part(KernelKind.BASE).millis(), 1e-9);
        assertEquals(0, breakdown.part(KernelKind.OPTIMIZER).millis());
        assertEquals(List.of("strange \"one\""), breakdown.unknown());
        assertEquals("dequantize_bf16", breakdown.names().get(3).name());
        assertThrows(IllegalArgumentException.class, () -> Breakdown.of(List.of(), 1, 0));
    }

    @Test
    void theJsonHasAllKinds() throws Exception {
        JsonNode json = new ObjectMapper().readTree(new ObjectMapper().writeValueAsString(made().toMap()));
        assertEquals(0.75, json.get("busy_share").asDouble());
        assertEquals(0.5, json.get("ms_gaps").asDouble());
        JsonNode kinds = json.get("kinds");
        double shares = 0;
        Set<String> keys = new HashSet<>();
        for (KernelKind kind : KernelKind.values()) {
            keys.add(kind.key);
            shares += kinds.get(kind.key).get("share").asDouble();
        }
        assertEquals(kinds.size(), keys.size());
        assertEquals(1.5 / 2, shares, 1e-9);
        assertEquals(4, json.get("top").size());
        assertEquals(0.5, json.get("top").get(0).get("launches").asDouble());
        assertEquals("strange \"one\"", json.get("unknown").get(0).asText());
    }

    @Test
    void theTableNamesKindsAndUnknownKernels() {
        List<String> lines = Arrays.asList(made().table().split("\\R", -1));
        assertTrue(lines.contains("nothing runs (gaps)                 0.500   25.0%       0.0"), lines.toString());
        assertTrue(lines.contains("products with base weights          0.500   25.0%       0.5"), lines.toString());
        assertTrue(lines.contains("  no rule for strange \"one\""), lines.toString());
    }

    @Test
    void ofMangledNamesTheIdentifiersRemain() {
        assertEquals(
                "at::native::vectorized_elementwise_kernel::CUDAFunctor_add::c10::BFloat16::array",
                KernelName.readable(ADD));
        assertEquals("cublasLt::splitKreduce_kernel", KernelName.readable(SUM));
        assertEquals("rope_bf16", KernelName.readable("rope_bf16"));
        assertEquals("_Z", KernelName.readable("_Z"));
        assertEquals("_Z99short", KernelName.readable("_Z99short"));
        assertEquals(110, KernelName.readable("x".repeat(200)).length());
    }
}
