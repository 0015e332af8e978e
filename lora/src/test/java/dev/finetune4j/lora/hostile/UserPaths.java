package dev.finetune4j.lora.hostile;

import dev.finetune4j.Adapter;
import dev.finetune4j.FineTuner;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import java.nio.file.Path;
import java.util.List;

/** What users do with the file of a folder, and how that ends. */
final class UserPaths {
    private static final List<Conversation> CONVERSATIONS = List.of(
            new Conversation(List.of(
                    ChatMessage.system("s"),
                    ChatMessage.user("hi <|im_end|>"),
                    ChatMessage.assistant("yo <|im_end|>"))),
            new Conversation(
                    List.of(ChatMessage.user("hi"), ChatMessage.assistant("\u4f60\u597d"), ChatMessage.user("?"))));

    /** What patterns that go back take long for. */
    private static final String LONG =
            "a".repeat(2_000) + "!" + " ".repeat(2_000) + "x" + "1".repeat(2_000) + "\n".repeat(2_000) + "-l-";

    private UserPaths() {}

    /**
     * Empty for a result; else the exception, after an exclamation mark if it is none of the library's own.
     *
     * @param kind the name of the changed file
     * @param folder a complete model, with an adapter in {@code adapter} and rows in {@code rows.json}
     * @param base the model of an unchanged folder
     * @param whole whether to load the whole model and ask it; else what reads the file first
     */
    static String outcome(String kind, Path folder, LanguageModel base, boolean whole) {
        try {
            if (whole) {
                chat(folder);
                return "";
            }
            switch (kind) {
                case "config.json", "generation_config.json" -> config(folder);
                case "adapter/adapter_config.json" -> adapter(base, folder.resolve("adapter"));
                case "model.safetensors.index.json" -> chat(folder);
                case "rows.json", "rows.jsonl" -> rows(folder, kind);
                default -> text(folder);
            }
            return "";
        } catch (Throwable e) {
            return described(e);
        }
    }

    private static String described(Throwable e) {
        StackTraceElement[] stack = e.getStackTrace();
        boolean plain = e.getClass() == IllegalArgumentException.class;
        boolean own = e instanceof FineTune4jException
                || (plain && stack.length > 0 && stack[0].getClassName().startsWith("dev.finetune4j."));
        String message = String.valueOf(e.getMessage());
        boolean foreign = message.contains("StreamReadConstraints") || message.contains("com.fasterxml");
        StringBuilder text = new StringBuilder(own && !foreign ? "" : "!");
        text.append(e.getClass().getName()).append(": ").append(shortened(message));
        for (int i = 0; !(own && !foreign) && i < Math.min(12, stack.length); i++) {
            text.append("\n        at ").append(stack[i]);
        }
        return text.toString();
    }

    private static String shortened(String message) {
        return message.substring(0, Math.min(200, message.length())).replace('\n', ' ');
    }

    private static void config(Path folder) {
        PretrainedFolder.open(folder);
        FineTuner.builder()
                .model(folder)
                .lora(lora -> lora.rank(2))
                .dataset(folder.resolve("rows.json"))
                .chatTemplate("chatml")
                .training(t -> t.maxSteps(1))
                .build()
                .plan();
    }

    private static void rows(Path folder, String name) {
        Dataset.read(folder.resolve(name));
        FineTuner.builder()
                .model(folder)
                .lora(lora -> lora.rank(2))
                .dataset(folder.resolve(name))
                .training(t -> t.maxSteps(1))
                .build()
                .plan();
    }

    private static void chat(Path folder) {
        try (LanguageModel model = LanguageModel.load(folder);
                ChatSession session =
                        model.chat(GenerationSettings.builder().maxNewTokens(2).build())) {
            session.send("hi");
        }
    }

    private static void adapter(LanguageModel base, Path folder) {
        try (Adapter adapter = base.loadAdapter(folder)) {
            adapter.parameterCount();
        }
    }

    private static void text(Path folder) {
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            int[] ids = tokenizer.encode("Hello, \u4f60\u597d <|im_end|> 1234567   \n\n x");
            tokenizer.decode(ids, true);
            tokenizer.decode(ids, false);
            tokenizer.encodePlain("a <|im_start|>user b");
            tokenizer.encodeWithSpecialTokens("");
            tokenizer.encode(LONG);
            ChatTemplate template = ChatTemplate.ofCheckpoint(tokenizer).orElseGet(() -> ChatTemplate.named("chatml"));
            ChatEncoder encoder = new ChatEncoder(tokenizer, template);
            try {
                encoder.encode(CONVERSATIONS.get(0), false);
            } finally {
                encoder.encode(CONVERSATIONS.get(1), true);
            }
        }
    }
}
