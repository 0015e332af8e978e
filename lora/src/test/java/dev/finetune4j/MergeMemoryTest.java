package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.lora.reference.GgufModels;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What merging holds in memory, of a process of its own: the shape of Yi-6B with {@code -Dfinetune4j.long=true}, else a model of
 * 0.2 billion numbers. The checkpoint is a sparse file of zeros, which takes no room.
 */
class MergeMemoryTest {
    private static final boolean LONG = Boolean.getBoolean("finetune4j.long");
    private static final int WIDTH = LONG ? 4096 : 1024;
    private static final int INNER = LONG ? 11_008 : 2816;
    private static final int KEYS = WIDTH / 8;
    private static final int LAYERS = LONG ? 32 : 8;
    private static final int ROWS = LONG ? 64_000 : 32_000;
    private static final int RANK = 8;
    private static final long ALLOWED = LONG ? 4L << 30 : 1200L << 20;

    @TempDir
    Path folder;

    @Test
    void holdsAFewTensorsAtATime() throws Exception {
        Path status = Path.of("/proc/self/status");
        Needs.that(Files.isReadable(status), "this system does not say how much memory a process has had");
        Path model = model();
        Path adapter = adapter();
        Path printed = folder.resolve("printed.txt");
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx256m",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Merge.class.getName(),
                        model.toString(),
                        adapter.toString(),
                        folder.resolve("merged").toString())
                .redirectErrorStream(true)
                .redirectOutput(printed.toFile())
                .start();
        try {
            assertTrue(child.waitFor(LONG ? 900 : 60, TimeUnit.SECONDS), "it did not end");
            assertEquals(0, child.exitValue(), () -> text(printed));
        } finally {
            child.destroyForcibly();
        }
        String last = text(printed).strip().replaceFirst("(?s).*\n", "");
        long most = Long.parseLong(last) << 10;
        System.out.println("merging had " + (most >> 20) + " MiB of memory at most");
        assertTrue(most <= ALLOWED, "merging had " + (most >> 20) + " MiB of memory, allowed " + (ALLOWED >> 20));
        try (SafetensorsFile head = SafetensorsFile.open(first(folder.resolve("merged")))) {
            assertTrue(!head.names().isEmpty());
        }
    }

    private static Path first(Path merged) throws IOException {
        try (var files = Files.list(merged)) {
            return files.filter(file -> file.toString().endsWith(".safetensors"))
                    .sorted()
                    .findFirst()
                    .orElseThrow();
        }
    }

    private static String text(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            return e.toString();
        }
    }

    /** The linears of a block: inputs and outputs. */
    private static Map<String, int[]> linears() {
        Map<String, int[]> linears = new LinkedHashMap<>();
        linears.put("self_attn.q_proj", new int[] {WIDTH, WIDTH});
        linears.put("self_attn.k_proj", new int[] {WIDTH, KEYS});
        linears.put("self_attn.v_proj", new int[] {WIDTH, KEYS});
        linears.put("self_attn.o_proj", new int[] {WIDTH, WIDTH});
        linears.put("mlp.gate_proj", new int[] {WIDTH, INNER});
        linears.put("mlp.up_proj", new int[] {WIDTH, INNER});
        linears.put("mlp.down_proj", new int[] {INNER, WIDTH});
        return linears;
    }

    private Path model() throws IOException {
        Path model = Files.createDirectory(folder.resolve("model"));
        Files.writeString(
                model.resolve("config.json"), """
                {"model_type": "llama", "hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d,
                 "num_attention_heads": %d, "num_key_value_heads": %d, "vocab_size": %d, "rms_norm_eps": 1e-5,
                 "max_position_embeddings": 512, "tie_word_embeddings": false, "eos_token_id": 0}
                """.formatted(WIDTH, INNER, LAYERS, WIDTH / 128, KEYS / 128, ROWS));
        Map<String, int[]> tensors = new LinkedHashMap<>();
        tensors.put("model.embed_tokens.weight", new int[] {ROWS, WIDTH});
        for (int i = 0; i < LAYERS; i++) {
            String block = "model.layers." + i + ".";
            linears().forEach((name, size) -> tensors.put(block + name + ".weight", new int[] {size[1], size[0]}));
            tensors.put(block + "input_layernorm.weight", new int[] {WIDTH});
            tensors.put(block + "post_attention_layernorm.weight", new int[] {WIDTH});
        }
        tensors.put("model.norm.weight", new int[] {WIDTH});
        tensors.put("lm_head.weight", new int[] {ROWS, WIDTH});
        zeros(model.resolve("model.safetensors"), "BF16", 2, tensors);
        GgufModels.addPlaceholders(model, ROWS);
        return model;
    }

    private Path adapter() throws IOException {
        Path adapter = Files.createDirectory(folder.resolve("adapter"));
        Files.writeString(adapter.resolve("adapter_config.json"), """
                {"peft_type": "LORA", "r": %d, "lora_alpha": 16, "target_modules": "all-linear", "bias": "none"}
                """.formatted(RANK));
        Map<String, int[]> tensors = new LinkedHashMap<>();
        for (int i = 0; i < LAYERS; i++) {
            String block = "base_model.model.model.layers." + i + ".";
            linears().forEach((name, size) -> {
                tensors.put(block + name + ".lora_A.weight", new int[] {RANK, size[0]});
                tensors.put(block + name + ".lora_B.weight", new int[] {size[1], RANK});
            });
        }
        zeros(adapter.resolve("adapter_model.safetensors"), "F32", 4, tensors);
        return adapter;
    }

    /** A safetensors file of zeros that the disk does not hold. */
    private static void zeros(Path file, String type, int bytes, Map<String, int[]> tensors) throws IOException {
        ObjectMapper json = new ObjectMapper();
        ObjectNode header = json.createObjectNode();
        long offset = 0;
        for (Map.Entry<String, int[]> tensor : tensors.entrySet()) {
            ObjectNode entry = header.putObject(tensor.getKey()).put("dtype", type);
            long size = bytes;
            for (int extent : tensor.getValue()) {
                entry.withArray("/shape").add(extent);
                size *= extent;
            }
            entry.putArray("data_offsets").add(offset).add(offset + size);
            offset += size;
        }
        byte[] text = json.writeValueAsString(header).getBytes(StandardCharsets.UTF_8);
        try (RandomAccessFile out = new RandomAccessFile(file.toFile(), "rw")) {
            out.write(ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(text.length)
                    .array());
            out.write(text);
            out.setLength(8 + text.length + offset);
        }
    }

    /** The program of the child process: merges, and prints the most memory that it had, in KiB. */
    static final class Merge {
        private Merge() {}

        public static void main(String[] args) throws IOException {
            LanguageModel.merge(
                    Path.of(args[0]),
                    Path.of(args[1]),
                    Path.of(args[2]),
                    ModelFormat.huggingFace(Precision.BF16),
                    MergeSettings.defaults());
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmHWM:")) {
                    System.out.println(line.replaceAll("\\D", ""));
                }
            }
        }
    }
}
