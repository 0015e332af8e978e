package dev.finetune4j.examples.basemodel;

/**
 * One way of asking the model who it is.
 *
 * @param question the sentence
 * @param kind what it asks for
 * @param language the language of the question and of its answer
 * @param answer the answer, with {@code {{name}}} and {@code {{author}}} in it
 */
public record IdentityQuestion(String question, IdentityKind kind, Language language, String answer) {}
