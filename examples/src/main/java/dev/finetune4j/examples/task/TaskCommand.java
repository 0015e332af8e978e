package dev.finetune4j.examples.task;

import java.util.Locale;

/** What a task file is read for. */
public enum TaskCommand {
    /** Trains. */
    TRAIN,
    /** Answers: a chat, a server, an evaluation. */
    CHAT,
    /** Writes a model. */
    EXPORT;

    /** As it is typed. */
    String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    static TaskCommand of(String label) {
        return valueOf(label.toUpperCase(Locale.ROOT));
    }
}
