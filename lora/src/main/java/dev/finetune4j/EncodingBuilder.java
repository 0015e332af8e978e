package dev.finetune4j;

import dev.finetune4j.core.message.SetOnce;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Collects what is chosen of how examples become tokens, and builds the {@link FineTuning.Encoding}. Not thread-safe. */
final class EncodingBuilder {
    private final SetOnce once;
    private final List<String> problems = new ArrayList<>();
    private @Nullable String chatTemplate;
    private int maxSequenceLength;
    private int packing;
    private Truncation truncation = Truncation.FAIL;
    private TrainOn trainOn = TrainOn.ANSWERS;
    private @Nullable Path cache;

    /** @param once the builder's calls so far */
    EncodingBuilder(SetOnce once) {
        this.once = once;
    }

    void chatTemplate(String name) {
        chatTemplate = once.set("chatTemplate", name);
    }

    void maxSequenceLength(int tokens) {
        maxSequenceLength = once.set("maxSequenceLength", tokens);
        if (tokens < 2) {
            problems.add("maxSequenceLength must be at least 2 tokens, but is " + tokens);
        }
    }

    void packing(int tokens) {
        packing = once.set("packing", tokens);
        if (tokens < 2) {
            problems.add("packing must be of at least 2 tokens, but is " + tokens);
        }
    }

    void truncation(Truncation policy) {
        truncation = once.set("truncation", policy);
    }

    void trainOn(TrainOn tokens) {
        trainOn = once.set("trainOn", tokens);
    }

    void cache(Path folder) {
        cache = once.set("encodingCache", folder);
    }

    /** Takes the encoding of an earlier training; what it had left open stays open. */
    void repeat(FineTuning.Encoding then) {
        if (then.chatTemplate() != null) {
            chatTemplate(then.chatTemplate());
        }
        maxSequenceLength = once.set("maxSequenceLength", then.maxSequenceLength());
        packing = once.set("packing", then.packing());
        truncation(then.truncation());
        trainOn(then.trainOn());
    }

    /** Whether a chat template was chosen. */
    boolean isTemplateChosen() {
        return chatTemplate != null;
    }

    /**
     * The encoding.
     *
     * @param method what is trained; null when that is not known
     * @param found takes what cannot work
     */
    FineTuning.Encoding build(@Nullable TuningMethod method, SettingsProblems found) {
        found.addAll(problems);
        if (packing > 0 && method != null && method.virtualTokens() > 0) {
            found.add("virtual tokens stand before one example, so rows of several cannot be packed; leave"
                    + " packing(…) away, or choose another method");
        }
        if (packing > 0 && maxSequenceLength > packing) {
            found.add("maxSequenceLength is " + maxSequenceLength + " tokens, but an example must fit into a packed"
                    + " row of " + packing + "; lower it or raise packing(…)");
        }
        return new FineTuning.Encoding(chatTemplate, maxSequenceLength, truncation, trainOn, packing, cache);
    }
}
