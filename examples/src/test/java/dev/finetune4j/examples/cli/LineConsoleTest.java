package dev.finetune4j.examples.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.Usage;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.testsupport.OwnThread;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jline.terminal.impl.LineDisciplineTerminal;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A chat in a terminal: keys go in, and what a person sees comes out. */
@Timeout(30)
class LineConsoleTest {
    private static final String CTRL_C = "\u0003";
    private static final String CTRL_D = "\u0004";

    private final ByteArrayOutputStream screen = new ByteArrayOutputStream();
    private final Echo model = new Echo();
    private final Output output = new Output();
    private LineDisciplineTerminal terminal;
    private Conversations conversations;
    private CompletableFuture<Boolean> chat;

    /** Says the question again; to "wait" it begins an answer that an interrupt alone ends. */
    private static final class Echo implements ChatModel {
        final List<String> asked = new ArrayList<>();
        final CountDownLatch waiting = new CountDownLatch(1);

        @Override
        public Reply reply(ChatRequest request) {
            List<ChatMessage> messages = request.conversation().messages();
            String question = messages.get(messages.size() - 1).content();
            asked.add(question);
            return Reply.of("<" + question + ">");
        }

        @Override
        public Reply reply(ChatRequest request, Consumer<ReplyDelta> sink) {
            Reply whole = reply(request);
            if (!whole.text().equals("<wait>")) {
                sink.accept(new ReplyDelta("", "thinking", List.of(), List.of()));
                sink.accept(new ReplyDelta(whole.text(), "", List.of(), List.of()));
                return whole;
            }
            sink.accept(new ReplyDelta("half", "", List.of(), List.of()));
            waiting.countDown();
            try {
                TimeUnit.SECONDS.sleep(20);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return new Reply("half", "", List.of(), FinishReason.INTERRUPTED, new Usage(0, 0, 0, 0), List.of());
        }
    }

    @BeforeEach
    void begin() throws IOException {
        terminal = new LineDisciplineTerminal("test", "xterm", screen, StandardCharsets.UTF_8);
        conversations = new Conversations(model, List.of("tuned"), GenerationSettings.greedy(), Map.of(), null);
        ChatConsole console = new LineConsole(terminal, List.of("tuned"));
        chat = CompletableFuture.supplyAsync(() -> new ChatLoop(conversations, console, output).run(), OwnThread.EACH);
    }

    @AfterEach
    void end() throws IOException {
        terminal.close();
    }

    private void type(String keys) throws IOException {
        terminal.processInputBytes(keys.getBytes(StandardCharsets.UTF_8));
    }

    private String seen() {
        return screen.toString(StandardCharsets.UTF_8);
    }

    @Test
    void whatIsTypedIsAskedAsItIs() throws Exception {
        type("What's \"this\"!!  你好\\\r");
        type(CTRL_D);
        assertTrue(chat.get(20, TimeUnit.SECONDS));
        assertEquals(List.of("What's \"this\"!!  你好\\"), model.asked);
        assertTrue(seen().contains("<What's \"this\"!!  你好\\>"), seen());
        assertTrue(seen().contains("\u001b[2mthinking"), "thoughts are shown, but paler: " + seen());
    }

    @Test
    void commandsAndAdaptersAreCompleted() throws Exception {
        type("/ba\t\r");
        type("/ad\ttu\t\r");
        type("x\r" + CTRL_D);
        assertTrue(chat.get(20, TimeUnit.SECONDS));
        assertTrue(seen().contains("base answers") && seen().contains("tuned answers"), seen());
        assertEquals("tuned", conversations.side());
    }

    @Test
    void ctrlCStopsTheAnswerThenDropsTheLineThenLeaves() throws Exception {
        type("wait\r");
        assertTrue(model.waiting.await(20, TimeUnit.SECONDS));
        type(CTRL_C);
        while (!seen().contains("(stopped)")) {
            Thread.sleep(5);
        }
        type("half a line" + CTRL_C);
        type("next\r");
        type(CTRL_C);
        assertTrue(chat.get(20, TimeUnit.SECONDS));
        assertEquals(List.of("wait", "next"), model.asked);
        assertEquals(
                List.of("wait", "half", "next", "<next>"),
                conversations.messages().stream().map(ChatMessage::content).toList(),
                "an answer that was stopped is part of the conversation as far as it came");
    }
}
