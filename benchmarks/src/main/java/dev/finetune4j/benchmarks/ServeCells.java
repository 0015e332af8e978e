package dev.finetune4j.benchmarks;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.Adapter;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.quant.QuantSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.bytedeco.pytorch.Tensor;

/**
 * Many replies at once through {@link ChatModel#submit}: one line of JSON for each number of streams and of adapters, and a table on
 * the standard error at the end. Prompts have about {@code context - new / 2} tokens, so that the mean context is the one that is
 * named. Tokens a second are those of all streams while all of them are generating; {@code whole} counts prompts and the
 * last tokens' time too.
 *
 * <p>Arguments: {@code --model FOLDER} and, all with usual values, {@code --streams 1,8,16,32,64 --adapters 0,8 --context 512 --new
 * 128 --rounds 2 --template llama2 --device cuda --quantize true}.
 */
public final class ServeCells {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int RANK = 16;
    private static final double GIB = 1 << 30;

    private final String[] args;
    private final LanguageModel model;
    private final ComputeDevice device;
    private final List<Adapter> adapters = new ArrayList<>();
    private final List<Map<String, Object>> lines = new ArrayList<>();

    private ServeCells(String[] args, LanguageModel model, ComputeDevice device) {
        this.args = args;
        this.model = model;
        this.device = device;
    }

    public static void main(String[] args) throws IOException {
        boolean gpu = TrainCells.option(args, "--device", "cuda").equals("cuda");
        ComputeDevice device = gpu ? ComputeDevice.cuda(0) : ComputeDevice.cpu();
        Path folder = Path.of(TrainCells.option(args, "--model", ""));
        LanguageModel.Loader loader = LanguageModel.loader(folder)
                .device(device)
                .chatTemplate(TrainCells.option(args, "--template", "llama2"));
        if (Boolean.parseBoolean(TrainCells.option(args, "--quantize", "true"))) {
            loader.quantize(QuantSettings.nf4());
        }
        try (LanguageModel model = loader.load()) {
            new ServeCells(args, model, device).all(folder);
        }
    }

    private int[] numbers(String name, String usual) {
        String[] parts = TrainCells.option(args, name, usual).split(",", -1);
        int[] numbers = new int[parts.length];
        for (int i = 0; i < parts.length; i++) {
            numbers[i] = Integer.parseInt(parts[i]);
        }
        return numbers;
    }

    private void all(Path base) throws IOException {
        for (int count : numbers("--adapters", "0,8")) {
            while (adapters.size() < count) {
                Path folder = Files.createTempDirectory("adapter");
                writeAdapter(folder, base, adapters.size());
                adapters.add(model.loadAdapter(folder));
            }
            for (int streams : numbers("--streams", "1,8,16,32,64")) {
                for (int round = 0; round < numbers("--rounds", "2")[0]; round++) {
                    cell(streams, count, round);
                }
            }
        }
        System.err.println(table());
    }

    /** When the tokens of a stream came. */
    private record Stream(Completion completion, ConcurrentLinkedQueue<Long> pieces) {}

    private void cell(int streams, int adapterCount, int round) throws IOException {
        int context = numbers("--context", "512")[0];
        int tokens = numbers("--new", "128")[0];
        GenerationSettings settings =
                GenerationSettings.builder().maxNewTokens(tokens).build();
        long begin = System.nanoTime();
        List<Stream> all = new ArrayList<>();
        for (int i = 0; i < streams; i++) {
            ChatModel answering = adapterCount == 0 ? model : adapters.get(i % adapterCount);
            ConcurrentLinkedQueue<Long> pieces = new ConcurrentLinkedQueue<>();
            Conversation prompt = prompt(context - tokens / 2, i);
            all.add(new Stream(
                    answering.submit(ChatRequest.of(prompt, settings), piece -> pieces.add(System.nanoTime())),
                    pieces));
        }
        List<Reply> replies =
                all.stream().map(stream -> stream.completion().join()).toList();
        double seconds = (System.nanoTime() - begin) / 1e9;
        // From when the last has begun until the first ends; not at all where some have ended before.
        long from = all.stream().mapToLong(ServeCells::first).max().orElseThrow();
        long to = Math.max(from, all.stream().mapToLong(ServeCells::last).min().orElseThrow());
        double steady = 0;
        long generated = 0;
        for (int i = 0; i < streams; i++) {
            long within = all.get(i).pieces().stream()
                    .filter(at -> at > from && at <= to)
                    .count();
            // A piece may have several tokens.
            steady += within
                    * (double) replies.get(i).usage().completionTokens()
                    / all.get(i).pieces().size();
            generated += replies.get(i).usage().completionTokens();
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("part", "serve");
        line.put("streams", streams);
        line.put("adapters", adapterCount);
        line.put("round", round);
        line.put("prompt", replies.get(0).usage().promptTokens());
        line.put("new", generated / streams);
        line.put("tokens_per_s", to == from ? 0 : rounded(steady / ((to - from) / 1e9)));
        line.put("steady_s", rounded((to - from) / 1e9));
        line.put("whole_tokens_per_s", rounded(generated / seconds));
        line.put("whole_s", rounded(seconds));
        line.put("used_gib", rounded(used()));
        lines.add(line);
        System.out.println(JSON.writeValueAsString(line));
    }

    private double used() {
        DeviceMemory memory = DeviceMemory.of(device);
        return (memory.total() - memory.free()) / GIB;
    }

    private static long first(Stream stream) {
        Long first = stream.pieces().peek();
        return first == null ? 0 : first;
    }

    private static long last(Stream stream) {
        long last = 0;
        for (long at : stream.pieces()) {
            last = at;
        }
        return last;
    }

    private static double rounded(double number) {
        return Math.round(number * 100) / 100.0;
    }

    /** A text of about so many tokens, another one for each stream. */
    private static Conversation prompt(int tokens, int stream) {
        StringBuilder text = new StringBuilder("Story " + stream + ":");
        SplittableRandom random = new SplittableRandom(stream);
        String[] words = {"river", "mountain", "fish", "night", "house", "child", "stone", "bread"};
        for (int i = 0; i < tokens - 20; i++) {
            text.append(' ').append(words[random.nextInt(words.length)]);
        }
        return Conversation.of(ChatMessage.user(text.toString()));
    }

    /** A LoRA adapter of all linears with random factors, as PEFT writes it. */
    private void writeAdapter(Path folder, Path base, int seed) throws IOException {
        JsonNode config = JSON.readTree(base.resolve("config.json").toFile());
        long hidden = config.get("hidden_size").asLong();
        long inner = config.get("intermediate_size").asLong();
        long heads = config.get("num_attention_heads").asLong();
        long size = config.path("head_dim").asLong(hidden / heads);
        long kv = config.path("num_key_value_heads").asLong(heads) * size;
        Map<String, long[]> shapes = new LinkedHashMap<>();
        shapes.put("self_attn.q_proj", new long[] {heads * size, hidden});
        shapes.put("self_attn.k_proj", new long[] {kv, hidden});
        shapes.put("self_attn.v_proj", new long[] {kv, hidden});
        shapes.put("self_attn.o_proj", new long[] {hidden, heads * size});
        shapes.put("mlp.gate_proj", new long[] {inner, hidden});
        shapes.put("mlp.up_proj", new long[] {inner, hidden});
        shapes.put("mlp.down_proj", new long[] {hidden, inner});
        SplittableRandom random = new SplittableRandom(seed);
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            for (int layer = 0; layer < config.get("num_hidden_layers").asInt(); layer++) {
                for (Map.Entry<String, long[]> shape : shapes.entrySet()) {
                    String name = "base_model.model.model.layers." + layer + "." + shape.getKey();
                    long[] sizes = shape.getValue();
                    tensors.put(
                            name + ".lora_A.weight",
                            Tensors.uniform(ComputeDevice.cpu(), random, 0.01, RANK, sizes[1]));
                    tensors.put(
                            name + ".lora_B.weight",
                            Tensors.uniform(ComputeDevice.cpu(), random, 0.01, sizes[0], RANK));
                }
            }
            SafetensorsWriter.write(folder.resolve("adapter_model.safetensors"), tensors);
        }
        Files.writeString(folder.resolve("adapter_config.json"), """
                {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": %d, "lora_alpha": %d, "lora_dropout": 0.0, "bias": "none",
                 "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}
                """.formatted(RANK, 2 * RANK));
    }

    private String table() {
        StringBuilder table =
                new StringBuilder("| streams | adapters | tokens/s | whole | GiB |\n|---|---|---|---|---|\n");
        for (Map<String, Object> line : lines) {
            table.append(String.format(
                    Locale.ROOT,
                    "| %s | %s | %s | %s | %s |%n",
                    line.get("streams"),
                    line.get("adapters"),
                    line.get("tokens_per_s"),
                    line.get("whole_tokens_per_s"),
                    line.get("used_gib")));
        }
        return table.toString();
    }
}
