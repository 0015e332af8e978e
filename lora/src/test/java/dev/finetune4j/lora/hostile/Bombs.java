package dev.finetune4j.lora.hostile;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.testsupport.TemplateBombs;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/** Settings files that are made to take a reader's time or memory, or that are no files at all. */
final class Bombs {
    static final List<String> FILES = List.of(
            "config.json",
            "generation_config.json",
            "adapter/adapter_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
            "chat_template.json",
            "model.safetensors.index.json",
            "rows.json",
            "rows.jsonl",
            "chat_template.jinja");

    private static final ObjectMapper JSON = new ObjectMapper();

    private static final List<String> EXPRESSIONS = List.of(
            "(a+)+b",
            "([a-z._0-9]+)*!",
            "(?:(.)|(.))*\\1!",
            "(?:(.)\\1?|.)*!",
            "((.)|(.)|(..))*(?:\\2\\3)!",
            "(.*,?)*(.*,?)*(.*,?)*!",
            "(x?.|.x?)*!",
            "(?=(.*)*x)(.*)*!",
            "(?<=(a|aa){0,1000000})b",
            "(a{1,30000}){1,30000}",
            "((((a?){100}){100}){100}){100}!",
            "a{2147483647}",
            "a{99999999999}",
            "(?R)",
            "(?<n>.\\g<n>?)*!",
            "\\k<n>",
            "[[[[[[a&&b]&&c]&&d]&&e]&&f]&&g]",
            "(".repeat(20_000),
            "(".repeat(5_000) + ")".repeat(5_000),
            "(?:".repeat(300) + "a" + ")*".repeat(300),
            "a?".repeat(20_000) + "a".repeat(20_000),
            "(a|".repeat(2_000) + "b" + ")".repeat(2_000),
            "[" + "a-z".repeat(100_000) + "]",
            "\\p{IsLatin}".repeat(50_000),
            "(.*)" + "\\1".repeat(3_000) + "!",
            "");

    /** Many repeats that no two take the same characters of, in groups in each other. */
    private static final List<String> SAME = List.of(
            repeats(4_000, 0x4e00),
            "(".repeat(40) + repeats(4_000, 0x4e00) + ")".repeat(40),
            "(?:" + repeats(500, 0x4e00) + "){1,4}",
            "(?=".repeat(40) + repeats(2_000, 0x100) + ")".repeat(40),
            "[a-z]+[0-9]+".repeat(400),
            "\\p{L}{0,1000}\\p{L}{0,1000}x",
            "((?:a{0,4}){0,4}){0,4}!",
            "(?:(?:(?:(?:a|b){1,4}){1,4}){1,4}){1,4}!",
            "(?:a?){4}".repeat(200) + "!",
            "a{1000}{1000}{1000}",
            "(?:a{1000}){4}{4}{4}{4}{4}{4}",
            "(?i:" + "k".repeat(9_000) + ")");

    private Bombs() {}

    private static String repeats(int count, int first) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < count; i++) {
            text.appendCodePoint(first + i).append('+');
        }
        return text.toString();
    }

    /** Puts something in the place of a file. */
    interface Placing {
        void place(Path file) throws IOException, InterruptedException;
    }

    /**
     * A bomb.
     *
     * @param file whose place it takes, below the folder of a model
     * @param name what it is, for messages
     * @param placing puts it there
     */
    record Bomb(String file, String name, Placing placing) {}

    static List<Bomb> all() {
        List<Bomb> bombs = new ArrayList<>();
        FILES.forEach(file -> anywhere(bombs, file));
        FILES.stream().filter(file -> !file.endsWith(".jinja")).forEach(file -> json(bombs, file));
        for (String template : TemplateBombs.all()) {
            String shown = template.substring(0, Math.min(60, template.length()));
            text(bombs, "chat_template.jinja", shown, () -> template);
        }
        for (String regex : SAME) {
            String shown = "/" + regex.substring(0, Math.min(40, regex.length())) + "/";
            bombs.add(new Bomb("tokenizer.json", "Split " + shown, file -> step(file, "Split", regex)));
        }
        for (String expression : EXPRESSIONS) {
            String shown = "/" + expression.substring(0, Math.min(40, expression.length())) + "/";
            for (String field : List.of("target_modules", "exclude_modules", "modules_to_save", "rank_pattern")) {
                bombs.add(new Bomb(
                        "adapter/adapter_config.json", field + " " + shown, file -> adapter(file, field, expression)));
            }
            for (String step : List.of("Split", "Replace", "decoder")) {
                bombs.add(new Bomb("tokenizer.json", step + " " + shown, file -> step(file, step, expression)));
            }
        }
        numbers(bombs);
        bombs.add(new Bomb("tokenizer.json", "200,000 added tokens", file -> added(file, 200_000, 3)));
        bombs.add(new Bomb(
                "tokenizer.json", "20,000 added tokens of 1,000 characters", file -> added(file, 20_000, 1_000)));
        bombs.add(new Bomb(
                "tokenizer.json", "1,000 added tokens of 1,000 characters", file -> added(file, 1_000, 1_000)));
        return bombs;
    }

    private static void anywhere(List<Bomb> bombs, String file) {
        bombs.add(new Bomb(file, "directory", Files::createDirectory));
        bombs.add(new Bomb(file, "directory that is full", at -> Files.createDirectories(at.resolve("a/b"))));
        bombs.add(new Bomb(
                file,
                "pipe that nobody writes",
                at -> new ProcessBuilder("mkfifo", at.toString()).start().waitFor()));
        bombs.add(new Bomb(file, "device without an end", at -> Files.createSymbolicLink(at, Path.of("/dev/zero"))));
        bombs.add(new Bomb(file, "link to itself", at -> Files.createSymbolicLink(at, at)));
        bombs.add(new Bomb(file, "process list", at -> Files.createSymbolicLink(at, Path.of("/proc/self/mem"))));
        bombs.add(new Bomb(file, "empty", Files::createFile));
        bombs.add(new Bomb(file, "99 MB of zeros", at -> zeros(at, 99_000_000)));
        bombs.add(new Bomb(file, "200 GB of zeros", at -> zeros(at, 200_000_000_000L)));
        bombs.add(new Bomb(
                file, "half a surrogate", at -> Files.write(at, new byte[] {(byte) 0xed, (byte) 0xa0, (byte) 0x80})));
        bombs.add(new Bomb(file, "UTF-16", at -> Files.write(at, "{\"a\":1}".getBytes(StandardCharsets.UTF_16))));
    }

    private static void zeros(Path file, long bytes) throws IOException {
        try (RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw")) {
            opened.setLength(bytes);
        }
    }

    private static void json(List<Bomb> bombs, String file) {
        text(bombs, file, "null", () -> "null");
        text(bombs, file, "list", () -> "[]");
        text(bombs, file, "object", () -> "{}");
        text(bombs, file, "open lists", () -> "[".repeat(10_000_000));
        text(bombs, file, "deep lists", () -> "[".repeat(500_000) + "]".repeat(500_000));
        text(bombs, file, "deep objects", () -> "{\"a\":".repeat(500_000) + "1" + "}".repeat(500_000));
        text(bombs, file, "open objects", () -> "{\"a\":".repeat(2_000_000));
        text(bombs, file, "long number", () -> "{\"a\":" + "9".repeat(10_000_000) + "}");
        text(bombs, file, "long fraction", () -> "{\"vocab_size\":0." + "9".repeat(10_000_000) + "}");
        text(bombs, file, "huge exponent", () -> "{\"vocab_size\":1e999999999,\"r\":1e999999999}");
        text(bombs, file, "long name", () -> "{\"" + "n".repeat(10_000_000) + "\":1}");
        text(bombs, file, "long text", () -> "{\"chat_template\":\"" + "n".repeat(30_000_000) + "\"}");
        text(bombs, file, "many small lists", () -> "{\"a\":[" + "[],".repeat(10_000_000) + "1]}");
        text(bombs, file, "many small texts", () -> "{\"a\":[" + "\"\",".repeat(10_000_000) + "1]}");
        text(bombs, file, "the same name again", () -> "{" + "\"a\":1,".repeat(3_000_000) + "\"a\":1}");
        text(bombs, file, "spaces", () -> " ".repeat(50_000_000) + "{}");
        text(bombs, file, "comments", () -> "/*".repeat(1_000_000));
        bombs.add(new Bomb(file, "many names", Bombs::names));
        bombs.add(new Bomb(file, "names of equal hash", Bombs::equalHashes));
    }

    private static void names(Path file) throws IOException {
        StringBuilder text = new StringBuilder("{\"added_tokens_decoder\":{\"0\":{}");
        for (int i = 0; i < 2_000_000; i++) {
            text.append(",\"").append(i).append("\":1");
        }
        Files.writeString(file, text.append("}}"));
    }

    private static void equalHashes(Path file) throws IOException {
        StringBuilder text = new StringBuilder("{\"a\":1");
        for (int i = 0; i < 1 << 16; i++) {
            text.append(",\"");
            for (int bit = 0; bit < 16; bit++) {
                text.append((i >> bit & 1) == 0 ? "Aa" : "BB");
            }
            text.append("\":1");
        }
        Files.writeString(file, text.append('}'));
    }

    private static void text(List<Bomb> bombs, String file, String name, Supplier<String> text) {
        bombs.add(new Bomb(file, name, at -> Files.writeString(at, text.get())));
    }

    private static void adapter(Path file, String field, String expression) throws IOException {
        ObjectNode root = (ObjectNode) JSON.readTree(intact(file).toFile());
        switch (field) {
            case "rank_pattern" -> root.putObject(field).put(expression, 4);
            case "modules_to_save" -> root.putArray(field).add(expression);
            default -> root.put(field, expression);
        }
        Files.writeString(file, root.toString());
    }

    private static void step(Path file, String step, String expression) throws IOException {
        ObjectNode root = (ObjectNode) JSON.readTree(intact(file).toFile());
        ObjectNode part = JSON.createObjectNode();
        part.putObject("pattern").put("Regex", expression);
        switch (step) {
            case "Split" ->
                root.set(
                        "pre_tokenizer",
                        part.put("type", step).put("behavior", "Isolated").put("invert", false));
            case "Replace" -> root.set("normalizer", part.put("type", step).put("content", "x"));
            default -> root.set("decoder", part.put("type", "Replace").put("content", "x".repeat(100_000)));
        }
        Files.writeString(file, root.toString());
    }

    private static void added(Path file, int count, int length) throws IOException {
        ObjectNode root = (ObjectNode) JSON.readTree(intact(file).toFile());
        for (int i = 0; i < count; i++) {
            root.withArray("added_tokens")
                    .addObject()
                    .put("id", 500 + i)
                    .put("content", "a".repeat(length - 3) + i)
                    .put("single_word", false)
                    .put("lstrip", false)
                    .put("rstrip", false)
                    .put("normalized", i % 2 == 0)
                    .put("special", false);
        }
        JSON.writeValue(file.toFile(), root);
    }

    private static void numbers(List<Bomb> bombs) {
        for (String field : List.of(
                "num_hidden_layers",
                "num_attention_heads",
                "num_key_value_heads",
                "head_dim",
                "hidden_size",
                "intermediate_size",
                "vocab_size",
                "max_position_embeddings")) {
            for (String value :
                    List.of("2000000000", "2147483648", "1e18", "0", "-1", "1.5", "1000", "10000", "1000000")) {
                bombs.add(new Bomb("config.json", field + " " + value, file -> field(file, field, value)));
            }
        }
        for (String field : List.of("r", "lora_alpha", "lora_dropout", "layers_to_transform")) {
            for (String value : List.of("2000000000", "1e18", "0", "-1", "1e-300", "[2000000000]")) {
                bombs.add(new Bomb(
                        "adapter/adapter_config.json", field + " " + value, file -> field(file, field, value)));
            }
        }
        for (String type : List.of("PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "IA3")) {
            bombs.add(new Bomb("adapter/adapter_config.json", type, file -> {
                field(file, "peft_type", '"' + type + '"');
                ObjectNode root = (ObjectNode) JSON.readTree(file.toFile());
                root.put("num_virtual_tokens", 2_000_000_000).put("encoder_hidden_size", 2_000_000_000);
                Files.writeString(
                        file, root.put("token_dim", 64).put("num_layers", 2).toString());
            }));
        }
    }

    private static void field(Path file, String field, String value) throws IOException {
        ObjectNode root = (ObjectNode) JSON.readTree(intact(file).toFile());
        root.put(field, "@");
        Files.writeString(file, root.toString().replace("\"@\"", value));
    }

    /** Where the unchanged file is kept while a bomb takes its place. */
    static Path intact(Path file) {
        return file.resolveSibling(file.getFileName() + ".intact");
    }
}
