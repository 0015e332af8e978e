package dev.finetune4j.examples;

import dev.finetune4j.Adapter;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * A chat in the terminal with a base model, or with an adapter on it.
 *
 * <p>Arguments: {@code [--model folder] [--adapter folder]}; without a model it is the bundled one. In the chat,
 * {@code /base} and {@code /adapter} switch sides, {@code /clear} starts over, {@code /exit} ends.
 */
public final class Chat {
    private static final GenerationSettings SETTINGS =
            GenerationSettings.builder().maxNewTokens(256).build();

    private final PrintStream out;
    private final BufferedReader in;

    private Chat(PrintStream out, BufferedReader in) {
        this.out = out;
        this.in = in;
    }

    public static void main(String[] args) throws IOException {
        Path model = null;
        Path adapter = null;
        for (int i = 0; i < args.length; i += 2) {
            if (i + 1 == args.length) {
                throw new IllegalArgumentException(
                        args[i] + " needs a folder; expected [--model folder] [--adapter folder]");
            }
            switch (args[i]) {
                case "--model" -> model = Path.of(args[i + 1]);
                case "--adapter" -> adapter = Path.of(args[i + 1]);
                default ->
                    throw new IllegalArgumentException(
                            "unknown argument " + args[i] + "; expected [--model folder] [--adapter folder]");
            }
        }
        Chat chat =
                new Chat(Terminal.out(), new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)));
        try (LanguageModel base = LanguageModel.load(model == null ? Bundled.baseModel() : model)) {
            if (adapter == null) {
                chat.run(base, base);
            } else {
                try (Adapter loaded = base.loadAdapter(adapter)) {
                    chat.run(base, loaded);
                }
            }
        }
    }

    private void run(LanguageModel base, ChatModel tuned) throws IOException {
        out.println("Chatting with " + (tuned == base ? "the base" : "base and adapter")
                + ". /base, /adapter switch sides, /clear starts over, /exit ends.");
        ChatSession session = tuned.chat(SETTINGS);
        try {
            while (true) {
                out.print("you> ");
                out.flush();
                String line = in.readLine();
                if (line == null || line.strip().equals("/exit")) {
                    return;
                }
                switch (line.strip()) {
                    case "" -> {}
                    case "/clear" -> session.reset();
                    case "/base" -> session = swap(session, base);
                    case "/adapter" -> session = swap(session, tuned);
                    default -> answer(session, line);
                }
            }
        } finally {
            session.close();
        }
    }

    private static ChatSession swap(ChatSession old, ChatModel next) {
        old.close();
        return next.chat(SETTINGS);
    }

    private void answer(ChatSession session, String line) {
        out.print("model> ");
        session.stream(line, piece -> {
            out.print(piece);
            out.flush();
        });
        out.println();
    }
}
