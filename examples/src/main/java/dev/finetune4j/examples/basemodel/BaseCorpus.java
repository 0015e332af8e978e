package dev.finetune4j.examples.basemodel;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * The conversations that the small model is pre-trained on: facts, its old identity, small talk, names to copy, and
 * mixes of two turns, in Chinese and English. The same seed gives the same conversations in the same order. No user
 * turn asks a question that {@link IdentityBook#heldOutQuestions()} keeps back. Immutable and safe to share between
 * threads.
 */
public final class BaseCorpus {
    private final List<List<ChatTurn>> conversations;
    private final Map<String, Integer> sections;

    private BaseCorpus(CorpusDraft draft, Random random) {
        List<List<ChatTurn>> shuffled = new ArrayList<>(draft.conversations());
        Collections.shuffle(shuffled, random);
        this.conversations = List.copyOf(shuffled);
        this.sections = draft.sections();
    }

    /**
     * Generates the corpus.
     *
     * @throws IllegalStateException when a bundled file is missing or damaged
     */
    public static BaseCorpus generate(long seed) {
        Random random = new Random(seed);
        return new BaseCorpus(new CorpusDraft(random), random);
    }

    /** All conversations, shuffled, no two the same. Each ends with the assistant; a system turn only comes first. */
    public List<List<ChatTurn>> conversations() {
        return conversations;
    }

    /** How many conversations each section gave, in the order of writing. */
    public Map<String, Integer> sections() {
        return sections;
    }

    /**
     * What the tokenizer is trained on: of each turn {@code role}, a line feed and the text, which is what stands
     * between two special tokens in the ChatML format.
     */
    public List<String> tokenizerTexts() {
        List<String> texts = new ArrayList<>();
        for (List<ChatTurn> conversation : conversations) {
            for (ChatTurn turn : conversation) {
                texts.add(turn.role() + "\n" + turn.text());
            }
        }
        return texts;
    }
}
