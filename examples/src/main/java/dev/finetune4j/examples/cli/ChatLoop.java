package dev.finetune4j.examples.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.text.ChatMessage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Reads lines until the end: commands, which begin with a slash, and questions. Not thread-safe. */
final class ChatLoop {
    static final List<String> COMMANDS = List.of("/help", "/clear", "/base", "/adapter", "/system", "/save", "/exit");

    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final String DIM = "\u001b[2m";
    private static final String PLAIN = "\u001b[0m";
    private static final String HELP = """
            /clear         forget what was said with this side
            /base          the model alone answers; each side has a conversation of its own
            /adapter NAME  an adapter answers
            /system TEXT   set the system message, without TEXT none; all conversations start over
            /save FILE     add this conversation to a file of rows, as OpenAI's messages
            /exit          leave, as Ctrl-D does; Ctrl-C stops an answer, and at the prompt leaves
            """;

    private final Conversations conversations;
    private final ChatConsole console;
    private final Output output;
    private boolean dimmed;
    private boolean failed;

    ChatLoop(Conversations conversations, ChatConsole console, Output output) {
        this.conversations = conversations;
        this.console = console;
        this.output = output;
    }

    /** Chats until the end; whether all went well. A person sees what went wrong and goes on, so that all is well then. */
    boolean run() {
        if (console.isInteractive()) {
            say("Chatting with " + conversations.side() + ". /help says what else there is.");
        }
        while (true) {
            String line = console.readLine("you> ");
            if (line == null || line.strip().equals("/exit")) {
                return console.isInteractive() || !failed;
            }
            if (!line.isBlank()) {
                handle(line.strip());
            }
        }
    }

    private void handle(String line) {
        try {
            if (line.startsWith("/")) {
                command(line);
            } else {
                answer(line);
            }
        } catch (FineTune4jException | IllegalArgumentException e) {
            failed = true;
            fail(e);
        }
    }

    private void command(String line) {
        int space = line.indexOf(' ');
        String name = space < 0 ? line : line.substring(0, space);
        String argument = space < 0 ? "" : line.substring(space).strip();
        switch (name) {
            case "/help" -> say(HELP.stripTrailing());
            case "/clear" -> {
                conversations.clear();
                say("forgotten");
            }
            case "/base" -> choose(AdapterNames.BASE);
            case "/adapter" -> choose(argument);
            case "/system" -> {
                conversations.system(argument);
                say(
                        argument.isEmpty()
                                ? "no system message"
                                : "the system message is set; all conversations start over");
            }
            case "/save" -> save(argument);
            default ->
                throw new IllegalArgumentException(
                        "there is no command " + name + "; there are " + String.join(" ", COMMANDS));
        }
    }

    private void choose(String side) {
        conversations.choose(side);
        say(conversations.side() + " answers");
    }

    private void answer(String question) {
        if (!output.isJson()) {
            console.out().print(conversations.side() + "> ");
            console.out().flush();
        }
        Reply reply = console.stoppable(() -> conversations.ask(question, this::show));
        if (output.isJson()) {
            console.out().println(json(question, reply));
            console.out().flush();
            return;
        }
        undim();
        console.out().println();
        String remark = remark(reply.finishReason());
        if (remark != null) {
            say(remark);
        }
    }

    /** Thoughts are for a person who watches, as they may take long; a pipe gets the answer alone. */
    private void show(ReplyDelta piece) {
        if (output.isJson()) {
            return;
        }
        if (console.isInteractive() && !piece.reasoning().isEmpty()) {
            console.out().print((dimmed ? "" : DIM) + piece.reasoning());
            dimmed = true;
        }
        if (!piece.content().isEmpty()) {
            if (dimmed) {
                console.out().println();
            }
            undim();
            console.out().print(piece.content());
        }
        console.out().flush();
    }

    private void undim() {
        if (dimmed) {
            console.out().print(PLAIN);
            dimmed = false;
        }
    }

    private static @Nullable String remark(FinishReason reason) {
        return switch (reason) {
            case LENGTH -> "(cut off; --max-new-tokens allows more)";
            case CONTEXT_LENGTH -> "(the conversation is as long as the model's context; /clear starts over)";
            case INTERRUPTED, CANCELLED -> "(stopped)";
            case STOP, TOOL_CALLS -> null;
        };
    }

    private Json json(String question, Reply reply) {
        return new Json()
                .put("side", conversations.side())
                .put("question", question)
                .put("answer", reply.text())
                .put("reasoning", reply.reasoning().isEmpty() ? null : reply.reasoning())
                .put("finishReason", reply.finishReason().name())
                .put("promptTokens", reply.usage().promptTokens())
                .put("completionTokens", reply.usage().completionTokens());
    }

    private void save(String file) {
        List<ChatMessage> messages = conversations.messages();
        if (file.isEmpty() || messages.isEmpty()) {
            throw new IllegalArgumentException(
                    file.isEmpty() ? "/save needs a file" : "there is nothing to save yet; ask something first");
        }
        List<Map<String, String>> rows = messages.stream().map(ChatLoop::row).toList();
        try {
            Files.writeString(
                    Path.of(file),
                    MAPPER.writeValueAsString(Map.of("messages", rows)) + "\n",
                    StandardOpenOption.CREATE,
                    StandardOpenOption.APPEND);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e); // of texts
        } catch (IOException | InvalidPathException e) {
            throw new FineTune4jException(file + " cannot be written: " + e + "; name another file", e);
        }
        say("added to " + file);
    }

    private static Map<String, String> row(ChatMessage message) {
        Map<String, String> row = new LinkedHashMap<>();
        row.put("role", message.role().name().toLowerCase(Locale.ROOT));
        row.put("content", message.content());
        return row;
    }

    /** What is no answer: beside the chat for a program, in it for a person. */
    private void say(String text) {
        if (output.isJson()) {
            return;
        }
        console.out().println(console.isInteractive() ? DIM + text + PLAIN : text);
        console.out().flush();
    }

    private void fail(RuntimeException failure) {
        if (output.isJson()) {
            output.err()
                    .println(new Json()
                            .put("error", failure.getClass().getSimpleName())
                            .put("message", String.valueOf(failure.getMessage())));
            return;
        }
        undim();
        console.out().flush();
        output.err().println("finetune4j: " + failure.getMessage());
    }
}
