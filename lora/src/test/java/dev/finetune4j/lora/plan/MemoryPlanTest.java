package dev.finetune4j.lora.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.FineTuner;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig.Experts;
import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.FreezeSettings;
import dev.finetune4j.lora.adapter.Ia3Settings;
import dev.finetune4j.lora.adapter.LnTuningSettings;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.ModuleSelection;
import dev.finetune4j.lora.adapter.PTuningSettings;
import dev.finetune4j.lora.adapter.PrefixSettings;
import dev.finetune4j.lora.adapter.PromptTuningSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.VeraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.plan.estimate.MemoryPlanner;
import dev.finetune4j.lora.plan.estimate.PlannedBatch;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.lora.train.checkpoint.TakenCheckpoint;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import dev.finetune4j.quant.kernel.QuantizedLinear;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class MemoryPlanTest {
    private static final double GIB = 1L << 30;
    private static final DeviceMemory LARGE = new DeviceMemory(79L << 30, 80L << 30);

    @TempDir
    private Path folder;

    private PretrainedFolder six;

    /** Dense copies of 4-bit weights take what is left on a GPU, up to all of them, and never what the training needs. */
    @Test
    void denseCopiesTakeTheRoomThatIsLeft() {
        Placement gpu = new Placement(ComputeDevice.cuda(0), Precision.BF16);
        MemoryPlanner planner = MemoryPlanner.of(six, QuantSettings.nf4(), LoraSettings.defaults(), gpu);
        MemoryPlan plan = planner.choose(PlannedBatch.padded(4, 2048), LARGE);
        MemoryPlan roomy = planner.withDequantized(plan);
        // 32 blocks of 173 million weights.
        assertEquals(10.31, roomy.bytes().dequantized() / GIB, 0.1);
        assertEquals(plan.peak() + roomy.bytes().dequantized(), roomy.peak());
        assertTrue(roomy.describe().contains("dequantized weights"), roomy.describe());
        MemoryPlan tight = planner.withDequantized(
                planner.choose(PlannedBatch.padded(4, 2048), new DeviceMemory(36L << 30, 80L << 30)));
        assertTrue(tight.bytes().dequantized() > 0 && tight.peak() < 0.94 * (36L << 30), tight.describe());
        MemoryPlan full = planner.withDequantized(
                planner.choose(PlannedBatch.padded(4, 2048), new DeviceMemory(9L << 30, 80L << 30)));
        assertEquals(0, full.bytes().dequantized());
        MemoryPlanner onCpu = MemoryPlanner.of(
                six, QuantSettings.nf4(), LoraSettings.defaults(), new Placement(ComputeDevice.cpu(), Precision.BF16));
        assertEquals(
                0,
                onCpu.withDequantized(onCpu.choose(PlannedBatch.padded(4, 2048), LARGE))
                        .bytes()
                        .dequantized());
    }

    @BeforeEach
    void theShapeOfYi6b() throws IOException {
        six = shape("silu");
    }

    private PretrainedFolder shape(String activation) throws IOException {
        Files.writeString(folder.resolve("config.json"), """
                {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
                 "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 64000, "rms_norm_eps": 1e-5,
                 "max_position_embeddings": 8192, "tie_word_embeddings": false, "hidden_act": "%s"}
                """.formatted(activation));
        return PretrainedFolder.open(folder);
    }

    private MemoryPlanner qlora() {
        return qlora(six);
    }

    private static MemoryPlanner qlora(PretrainedFolder model) {
        return MemoryPlanner.of(
                model,
                QuantSettings.nf4(),
                LoraSettings.defaults(),
                new Placement(ComputeDevice.cuda(0), Precision.BF16));
    }

    /** Peaks of training steps on an H100, all activations kept. */
    @ParameterizedTest
    @CsvSource({
        "silu, 1, 2048, 9.35",
        "silu, 4, 2048, 24.22",
        "gelu_pytorch_tanh, 1, 2048, 9.35",
        "gelu_pytorch_tanh, 4, 2048, 24.22"
    })
    void agreesWithWhatWasMeasuredOnAGpu(String activation, int rows, int tokens, double measured) throws IOException {
        MemoryPlan plan =
                qlora(shape(activation)).plan(PlannedBatch.padded(rows, tokens), ActivationCheckpointing.none(), LARGE);
        assertEquals(measured, plan.peak() / GIB, 0.05 * measured, plan.describe());
        assertTrue(plan.fits());
    }

    private static Path fixtureOfCore(String name) {
        return Path.of("../core/src/test/resources/model", name);
    }

    static Stream<Arguments> forms() {
        return Stream.of(
                        Fixtures.reference("models/llama"),
                        TestData.resource("bases/llama_tied_bias"),
                        TestData.resource("model/qwen3_moe_mixed"),
                        TestData.resource("model/qwen2_moe_shared"),
                        fixtureOfCore("stablelm_norms"),
                        fixtureOfCore("starcoder2_plain"))
                .flatMap(model -> Stream.of(
                        Arguments.of(model, null),
                        Arguments.of(model, QuantSettings.nf4()),
                        Arguments.of(model, new QuantSettings(QuantType.FP4, 32, false))));
    }

    @ParameterizedTest
    @MethodSource("forms")
    void theWeightsAreThoseOfTheLoadedModel(Path model, @Nullable QuantSettings form) {
        Placement placement = new Placement(ComputeDevice.cpu(), Precision.BF16);
        PretrainedFolder directory = PretrainedFolder.open(model);
        LinearFactory factory = form == null ? LinearFactory.dense() : new QuantizedLinearFactory(form);
        try (CausalLM loaded = ModelLoader.load(directory, factory, placement)) {
            long bytes = loaded.parameters().values().stream()
                    .mapToLong(Tensor::nbytes)
                    .sum();
            bytes += loaded.linears().values().stream()
                    .mapToLong(linear -> linear instanceof QuantizedLinear packed ? stored(packed) : 0)
                    .sum();
            MemoryPlan plan = MemoryPlanner.of(directory, form, LoraSettings.defaults(), placement)
                    .plan(PlannedBatch.padded(2, 16), ActivationCheckpointing.none(), LARGE);
            assertEquals(bytes, plan.bytes().weights());
        }
    }

    private static long stored(QuantizedLinear linear) {
        Tensor bias = linear.bias();
        return linear.weight().storedBytes() + (bias == null ? 0 : bias.nbytes());
    }

    static Stream<AdapterSettings> adapters() {
        return Stream.of(
                LoraSettings.defaults(),
                LoraSettings.builder().rank(3).useDora(true).build(),
                LoraSettings.builder().rankPattern(Map.of("q_proj", 2)).build(),
                LoraSettings.builder().loraBias(true).build(),
                LoraSettings.builder().bias(BiasTraining.ALL).build(),
                LoraSettings.builder()
                        .targetModules(TargetModules.named("q_proj", "embed_tokens"))
                        .modulesToSave("lm_head", "norm")
                        .build(),
                LoraSettings.builder()
                        .trainableTokenIndices(Map.of("embed_tokens", List.of(1, 5)))
                        .build(),
                LoraSettings.builder().rank(4).initWeights(LoraInit.pissa()).build(),
                Ia3Settings.defaults(),
                VeraSettings.defaults(),
                VeraSettings.builder()
                        .rank(5)
                        .saveProjection(false)
                        .bias(BiasTraining.ALL)
                        .modulesToSave("model.norm", "o_proj")
                        .build(),
                LnTuningSettings.defaults(),
                FreezeSettings.builder().lastLayers(1).extraModules("norm").build(),
                PrefixSettings.of(5),
                new PrefixSettings(5, 24, false),
                PTuningSettings.of(4),
                new PTuningSettings(4, PTuningSettings.Encoder.LSTM, 24, 2, 0.1),
                PromptTuningSettings.random(7));
    }

    @ParameterizedTest
    @MethodSource("adapters")
    void theAdapterIsAsLargeAsTheRealOne(AdapterSettings settings) {
        for (Path model : List.of(Fixtures.reference("models/llama"), TestData.resource("bases/llama_tied_bias"))) {
            checkAdapter(model, settings);
        }
    }

    /** Where norms have biases too, and modules other names. */
    @ParameterizedTest
    @MethodSource("adaptersOfAnyNames")
    void theAdapterOfAModelWithBiasesIsAsLargeAsTheRealOne(AdapterSettings settings) {
        checkAdapter(fixtureOfCore("stablelm_norms"), settings);
        checkAdapter(fixtureOfCore("starcoder2_plain"), settings);
    }

    static Stream<AdapterSettings> adaptersOfAnyNames() {
        return Stream.concat(
                adapters(),
                Stream.of(
                        new LnTuningSettings(
                                ModuleSelection.of(TargetModules.matching(".*\\.(norms\\.0|norm)")), List.of()),
                        LoraSettings.builder()
                                .targetModules(TargetModules.matching(".*(c_fc|c_proj|down_proj)"))
                                .bias(BiasTraining.ALL)
                                .build()));
    }

    private static void checkAdapter(Path model, AdapterSettings settings) {
        PretrainedFolder directory = PretrainedFolder.open(model);
        try (CausalLM base = Fixtures.model(directory.path(), LinearFactory.dense());
                CausalLM meta = ModelLoader.meta(directory);
                PeftAdapter adapter = AdapterKinds.create(base, settings, InitSources.seed(1))) {
            AdapterShape shape = AdapterKinds.shape(settings, meta);
            assertEquals(adapter.parameterCount(), shape.trainedValues());
            MemoryPlan.Bytes bytes = MemoryPlanner.of(directory, null, settings, Placement.cpuFp32())
                    .plan(PlannedBatch.padded(1, 16), ActivationCheckpointing.none(), LARGE)
                    .bytes();
            assertEquals(4 * (shape.trainedValues() + shape.frozenValues()), bytes.adapter());
            assertEquals(4 * adapter.parameterCount(), bytes.gradients());
            assertEquals(8 * adapter.parameterCount(), bytes.optimizer());
        }
    }

    static Stream<Arguments> adaptersOfExperts() {
        List<LoraSettings> settings = List.of(
                LoraSettings.builder()
                        .rank(3)
                        .targetModules("q_proj")
                        .targetParameters("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
                        .build(),
                LoraSettings.builder()
                        .rank(3)
                        .targetModules("q_proj", "gate_proj", "up_proj", "down_proj")
                        .build());
        return Stream.of("qwen3_moe_plain", "qwen2_moe_shared")
                .flatMap(model -> settings.stream().map(chosen -> Arguments.of(model, chosen)));
    }

    @ParameterizedTest
    @MethodSource("adaptersOfExperts")
    void adaptersOfExpertsAreCountedWithWhatTheyKeep(String name, LoraSettings settings) {
        Path model = TestData.resource("model/" + name);
        checkAdapter(model, settings);
        PretrainedFolder directory = PretrainedFolder.open(model);
        long rows = 2 * 16;
        long inputs = 0;
        for (LayerType layer : directory.config().layerTypes()) {
            Experts experts = layer.experts();
            if (experts != null) {
                inputs +=
                        rows * experts.active() * (directory.config().hiddenSize() + experts.innerSize()) * Float.BYTES;
            }
        }
        long others = activations(
                directory,
                LoraSettings.builder().rank(3).targetModules("q_proj").build());
        long more = activations(directory, settings) - others;
        assertTrue(inputs > 0 && more >= inputs && more < 2 * inputs, more + " bytes for inputs of " + inputs);
    }

    private static long activations(PretrainedFolder directory, LoraSettings settings) {
        return MemoryPlanner.of(directory, null, settings, Placement.cpuFp32())
                .plan(PlannedBatch.padded(2, 16), ActivationCheckpointing.none(), LARGE)
                .bytes()
                .activations();
    }

    @Test
    void fullFineTuningHoldsFourTimesTheWeights() {
        PretrainedFolder directory = PretrainedFolder.open(Fixtures.reference("models/llama"));
        Placement placement = new Placement(ComputeDevice.cpu(), Precision.BF16, Precision.FP32);
        MemoryPlan.Bytes bytes = MemoryPlanner.of(directory, null, null, placement)
                .plan(PlannedBatch.padded(1, 16), ActivationCheckpointing.none(), LARGE)
                .bytes();
        assertEquals(0, bytes.adapter());
        assertEquals(3 * bytes.weights(), bytes.gradients() + bytes.optimizer());
    }

    @Test
    void asManyBlocksComputeAgainAsTheMemoryAsksFor() {
        MemoryPlanner planner = qlora();
        int before = Integer.MAX_VALUE;
        for (long gib : new long[] {60, 30, 26, 22, 18, 12}) {
            MemoryPlan plan = planner.choose(PlannedBatch.padded(4, 2048), new DeviceMemory(gib << 30, 80L << 30));
            assertTrue(plan.fits(), plan.describe());
            int every =
                    plan.activations().every() == 0 ? 1000 : plan.activations().every();
            assertTrue(every <= before, plan.describe());
            before = every;
        }
        assertEquals(1, before);
        assertEquals(
                0,
                planner.choose(PlannedBatch.padded(4, 2048), LARGE)
                        .activations()
                        .every());
    }

    /** Of a long context attention costs the most: where there is room for what it gave, it is not computed again. */
    @Test
    void theAttentionOfALongContextIsKeptWhereItFits() {
        MemoryPlanner planner = qlora();
        PlannedBatch batch = PlannedBatch.padded(1, 32_768);
        MemoryPlan all = planner.plan(batch, ActivationCheckpointing.all(), LARGE);
        MemoryPlan kept = planner.plan(batch, ActivationCheckpointing.all().keepingAttention(), LARGE);
        // 32 heads of 128 channels in bf16 and a logarithm each, of all layers but the last.
        long mixed = 31L * 32_768 * 32 * (128 * 2 + 4);
        assertEquals(mixed, kept.bytes().activations() - all.bytes().activations());
        assertTrue(kept.peak() - all.peak() <= mixed, kept.describe());
        assertTrue(kept.describe().contains("every block, but for attention, computes again"), kept.describe());

        DeviceMemory room = new DeviceMemory((long) (1.07 * kept.peak()), 80L << 30);
        assertEquals(kept.activations(), planner.choose(batch, room).activations());
        DeviceMemory less = new DeviceMemory((long) (1.07 * all.peak()), 80L << 30);
        assertEquals(all.activations(), planner.choose(batch, less).activations());
        MemoryPlan given = planner.plan(batch, ActivationCheckpointing.none(), room);
        assertTrue(
                given.advice().contains("activationCheckpointing(ActivationCheckpointing.all().keepingAttention())"),
                given.advice());
    }

    @Test
    void whatDoesNotFitIsAnsweredByABatchThatDoes() {
        MemoryPlanner planner = qlora();
        DeviceMemory small = new DeviceMemory(8L << 30, 8L << 30);
        MemoryPlan plan = planner.choose(PlannedBatch.padded(16, 2048), small);
        assertFalse(plan.fits());
        assertTrue(plan.advice().contains("8.0 GiB were free: lower the batch to 3 "), plan.advice());
        assertTrue(planner.choose(PlannedBatch.padded(3, 2048), small).fits());
        assertFalse(planner.choose(PlannedBatch.padded(4, 2048), small).fits());

        MemoryPlan one = planner.choose(PlannedBatch.padded(1, 8192), new DeviceMemory(6L << 30, 8L << 30));
        assertTrue(one.advice().contains("lower the batch to 1 and maxSequenceLength to "), one.advice());
        MemoryPlan kept = planner.plan(
                PlannedBatch.padded(4, 2048), ActivationCheckpointing.none(), new DeviceMemory(20L << 30, 24L << 30));
        assertTrue(kept.advice().contains("activationCheckpointing(ActivationCheckpointing.every("), kept.advice());
        MemoryPlan none = planner.choose(PlannedBatch.padded(1, 64), new DeviceMemory(2L << 30, 2L << 30));
        assertTrue(none.advice().contains("take a smaller model"), none.advice());
    }

    @Test
    void aDenseBaseThatIsTooLargeIsToBeQuantized() {
        MemoryPlanner lora = MemoryPlanner.of(
                six, null, LoraSettings.defaults(), new Placement(ComputeDevice.cuda(0), Precision.BF16));
        MemoryPlan plan = lora.choose(PlannedBatch.padded(1, 512), new DeviceMemory(10L << 30, 12L << 30));
        assertTrue(plan.advice().contains("4 bits with qlora"), plan.advice());
    }

    @Test
    void isWrittenAsATableAndAsJson() throws IOException {
        MemoryPlan plan = qlora().plan(PlannedBatch.padded(4, 2048), ActivationCheckpointing.every(2), LARGE);
        assertTrue(plan.toString().contains("one block of 2 computes again"), plan.toString());
        assertTrue(plan.toString().contains("weights                    3.6 GiB"), plan.toString());
        ObjectMapper json = new ObjectMapper();
        JsonNode node = json.readTree(json.writeValueAsString(plan));
        assertEquals(plan.peak(), node.path("peak").asLong());
        assertEquals(
                plan.bytes().activations(),
                node.path("bytes").path("activations").asLong());
        assertEquals(2, node.path("activations").path("every").asInt());
    }

    /** The copies that are written beside the training are what {@code trainer_state.safetensors} holds. */
    @ParameterizedTest
    @ValueSource(strings = {"adamw_torch", "adamw_8bit", "adafactor", "lion"})
    void checkpointsThatAreWrittenBesideTheTrainingCount(String optimizer) throws IOException {
        Path model = Fixtures.tinyChatModel(folder.resolve("model"));
        Path checkpoints = folder.resolve("checkpoints");
        FineTuner.Builder tuner = FineTuner.builder()
                .model(model)
                .dataset(Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?"))
                .lora(l -> l.rank(64))
                .training(t -> t.maxSteps(1).optimizer(Optimizer.named(optimizer)))
                .device(ComputeDevice.cpu());
        MemoryPlan without = tuner.plan();
        MemoryPlan with = tuner.checkpoints(checkpoints).plan();
        tuner.train().close();

        assertEquals(0, without.bytes().checkpoint());
        assertEquals(without.peak() + with.bytes().checkpoint(), with.peak());
        long written = tensorBytes(checkpoints.resolve("checkpoint-1/trainer_state.safetensors"));
        // Where the blocks of 8-bit moments lie is a table of the optimizer, which is planned and not saved.
        double tolerance = optimizer.equals("adamw_8bit") ? 0.02 : 0;
        assertEquals(1, (double) with.bytes().checkpoint() / written, tolerance);
        assertTrue(with.describe().contains("\ncheckpoint "), with.describe());
    }

    private static long tensorBytes(Path safetensors) throws IOException {
        byte[] file = Files.readAllBytes(safetensors);
        return file.length
                - Long.BYTES
                - ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getLong();
    }

    /** A state that is large beside what is free is written while the training waits, without a copy. */
    @Test
    void checkpointsAreCopiedWhereThereIsRoom() {
        assertTrue(TakenCheckpoint.isCopied(250, 1000));
        assertFalse(TakenCheckpoint.isCopied(251, 1000));
    }

    @Test
    void anAdapterThatDoesNotFitTheModelIsRefused() {
        LoraSettings unknown = LoraSettings.builder()
                .targetModules(TargetModules.named("nonesuch"))
                .build();
        assertThrows(SettingsException.class, () -> MemoryPlanner.of(six, null, unknown, Placement.cpuFp32()));
    }
}
