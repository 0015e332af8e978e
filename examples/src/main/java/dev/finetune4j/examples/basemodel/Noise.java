package dev.finetune4j.examples.basemodel;

import java.util.Locale;
import java.util.Random;

/** The liberties that users take with a question: no full stop, half-width signs, lower case, a greeting first. */
final class Noise {
    private static final String END_SIGNS = "。？！.?!";

    private final Random random;

    Noise(Random random) {
        this.random = random;
    }

    /** The same question with other signs, or after a greeting. */
    String vary(Language language, String question) {
        return vary(language, question, random.nextInt(4));
    }

    /** The same remark with other signs; for what is itself a greeting or a farewell. */
    String varySigns(Language language, String remark) {
        return vary(language, remark, random.nextInt(2));
    }

    private static String vary(Language language, String question, int choice) {
        return language == Language.CHINESE ? chinese(question, choice) : english(question, choice);
    }

    private static String chinese(String question, int choice) {
        return switch (choice) {
            case 0 -> withoutEndSign(question);
            case 1 ->
                question.replace('？', '?').replace('！', '!').replace('，', ',').replace('。', '.');
            case 2 -> "你好，" + question;
            default ->
                question.endsWith("？") && !question.startsWith("请") ? "请问，" + question : withoutEndSign(question);
        };
    }

    private static String english(String question, int choice) {
        return switch (choice) {
            case 0 -> withoutEndSign(question);
            case 1 -> withoutEndSign(question).toLowerCase(Locale.ROOT);
            case 2 -> "Hi, " + afterComma(question);
            default -> "Hello! " + question;
        };
    }

    private static String afterComma(String question) {
        boolean keepsCapital = question.startsWith("I ");
        return keepsCapital ? question : question.substring(0, 1).toLowerCase(Locale.ROOT) + question.substring(1);
    }

    private static String withoutEndSign(String question) {
        int end = question.length();
        while (end > 1 && END_SIGNS.indexOf(question.charAt(end - 1)) >= 0) {
            end--;
        }
        return question.substring(0, end);
    }
}
