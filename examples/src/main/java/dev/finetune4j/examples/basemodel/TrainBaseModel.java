package dev.finetune4j.examples.basemodel;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.examples.Terminal;
import dev.finetune4j.lora.report.LossCurve;
import dev.finetune4j.lora.report.ProgressLine;
import dev.finetune4j.lora.train.LearningRateSchedule;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;

/**
 * Makes the small bilingual chat model that comes with the examples, from nothing: generates its text, trains its
 * tokenizer, draws its first weights and trains all of them.
 *
 * <p>About a quarter of an hour on one core. The same seed gives the same model on the same kind of machine.
 */
public final class TrainBaseModel {
    private static final int VOCABULARY = 1600;
    private static final int HIDDEN = 192;
    private static final int LAYERS = 7;
    private static final int HEADS = 6;
    private static final int KV_HEADS = 3;
    private static final int HEAD_DIM = 32;
    private static final int INTERMEDIATE = 512;
    private static final int CONTEXT = 512;
    private static final long SEED = 20_261;

    private TrainBaseModel() {}

    /**
     * Makes the model.
     *
     * @param args target folder, number of epochs (optional)
     */
    public static void main(String[] args) throws IOException {
        if (args.length == 0) {
            throw new IllegalArgumentException("expected the target folder and, optionally, the number of epochs");
        }
        Path target = Path.of(args[0]);
        double epochs = args.length > 1 ? Double.parseDouble(args[1]) : 12;
        // With one thread the result does not depend on the number of cores.
        TorchRuntime.setThreads(1);
        System.out.println(TorchRuntime.report());
        BaseCorpus corpus = BaseCorpus.generate(SEED);
        System.out.println(corpus.conversations().size() + " conversations " + corpus.sections());
        Path start = Files.createTempDirectory("base-model-start");
        writeTokenizerAndConfig(start, corpus);
        writeFirstWeights(start);
        try (FineTunedModel model = FineTuner.builder()
                .model(start)
                .full()
                .chatTemplate("chatml")
                .dataset(dataset(corpus))
                .training(t -> t.epochs(epochs)
                        .batchSize(24)
                        .learningRate(2e-3)
                        .schedule(LearningRateSchedule.cosine(), 0.03)
                        .weightDecay(0.1)
                        .seed(SEED))
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .listener(new ProgressLine(Terminal.out(), Terminal.isInteractive()))
                .train()) {
            model.export(target, ModelFormat.huggingFace(Precision.BF16));
            LossCurve.writePng(
                    target.resolve("../base-model-loss.png").normalize(),
                    model.report().steps());
            report(model);
        }
    }

    private static void report(FineTunedModel model) {
        for (Language language : Language.values()) {
            long right = FactBook.load().facts().stream()
                    .map(fact -> fact.in(language))
                    .filter(wording -> wording.isSaidBy(model.ask(wording.examQuestion())))
                    .count();
            System.out.printf(Locale.ROOT, "facts right (%s): %d%n", language.code(), right);
        }
    }

    private static Dataset dataset(BaseCorpus corpus) {
        List<SftExample> examples = new ArrayList<>();
        for (List<ChatTurn> conversation : corpus.conversations()) {
            List<ChatMessage> messages = conversation.stream()
                    .map(turn -> new ChatMessage(Role.valueOf(turn.role().toUpperCase(Locale.ROOT)), turn.text()))
                    .toList();
            examples.add(new SftExample(new Conversation(messages), new Provenance("base corpus", examples.size())));
        }
        return Dataset.of(examples);
    }

    private static void writeTokenizerAndConfig(Path folder, BaseCorpus corpus) throws IOException {
        new BpeTrainer(VOCABULARY).train(corpus.tokenizerTexts()).write(folder);
        ObjectNode config = new ObjectMapper().createObjectNode();
        config.putArray("architectures").add("LlamaForCausalLM");
        config.put("model_type", "llama");
        config.put("hidden_act", "silu");
        config.put("hidden_size", HIDDEN);
        config.put("intermediate_size", INTERMEDIATE);
        config.put("num_hidden_layers", LAYERS);
        config.put("num_attention_heads", HEADS);
        config.put("num_key_value_heads", KV_HEADS);
        config.put("head_dim", HEAD_DIM);
        config.put("vocab_size", VOCABULARY);
        config.put("max_position_embeddings", CONTEXT);
        config.put("rms_norm_eps", 1e-6);
        config.put("rope_theta", 10_000.0);
        config.put("tie_word_embeddings", true);
        config.put("attention_bias", false);
        config.put("mlp_bias", false);
        config.put("bos_token_id", 0);
        config.put("eos_token_id", 2);
        config.put("pad_token_id", 0);
        config.put("dtype", "float32");
        ObjectMapper json = new ObjectMapper();
        json.writerWithDefaultPrettyPrinter()
                .writeValue(folder.resolve("config.json").toFile(), config);
        ObjectNode generation = json.createObjectNode();
        generation.put("bos_token_id", 0).put("eos_token_id", 2).put("pad_token_id", 0);
        json.writerWithDefaultPrettyPrinter()
                .writeValue(folder.resolve("generation_config.json").toFile(), generation);
    }

    /** Normal with deviation 0.02, smaller by √(2 · layers) where a block writes to the residual stream (GPT-2). */
    private static void writeFirstWeights(Path folder) {
        SplittableRandom random = new SplittableRandom(SEED);
        double into = 0.02;
        double outOf = into / Math.sqrt(2.0 * LAYERS);
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try (TensorScope scope = new TensorScope()) {
            tensors.put("model.embed_tokens.weight", normal(random, into, VOCABULARY, HIDDEN));
            for (int i = 0; i < LAYERS; i++) {
                String block = "model.layers." + i + ".";
                tensors.put(block + "input_layernorm.weight", ones(HIDDEN));
                tensors.put(block + "post_attention_layernorm.weight", ones(HIDDEN));
                tensors.put(block + "self_attn.q_proj.weight", normal(random, into, HEADS * HEAD_DIM, HIDDEN));
                tensors.put(block + "self_attn.k_proj.weight", normal(random, into, KV_HEADS * HEAD_DIM, HIDDEN));
                tensors.put(block + "self_attn.v_proj.weight", normal(random, into, KV_HEADS * HEAD_DIM, HIDDEN));
                tensors.put(block + "self_attn.o_proj.weight", normal(random, outOf, HIDDEN, HEADS * HEAD_DIM));
                tensors.put(block + "mlp.gate_proj.weight", normal(random, into, INTERMEDIATE, HIDDEN));
                tensors.put(block + "mlp.up_proj.weight", normal(random, into, INTERMEDIATE, HIDDEN));
                tensors.put(block + "mlp.down_proj.weight", normal(random, outOf, HIDDEN, INTERMEDIATE));
            }
            tensors.put("model.norm.weight", ones(HIDDEN));
            SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
        }
    }

    private static Tensor normal(SplittableRandom random, double deviation, int rows, int columns) {
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (random.nextGaussian() * deviation);
        }
        return Tensors.ofFloats(ComputeDevice.cpu(), values, rows, columns);
    }

    private static Tensor ones(int size) {
        return Tensors.ones(ComputeDevice.cpu(), Tensors.typeOf(Precision.FP32), size);
    }
}
