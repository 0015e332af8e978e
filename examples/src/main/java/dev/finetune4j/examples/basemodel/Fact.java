package dev.finetune4j.examples.basemodel;

import java.util.List;

/**
 * One thing that the small model knows, in both languages.
 *
 * @param category what kind of fact it is, for example {@code capital}
 * @param chinese how it is asked and answered in Chinese
 * @param english how it is asked and answered in English
 */
public record Fact(String category, Wording chinese, Wording english) {
    /**
     * The questions and the answer of a fact in one language.
     *
     * @param questions several phrasings of the same question, the exam phrasing first
     * @param answer the full sentence that the model learns
     * @param key what an answer must say to be right; it occurs in no question
     */
    public record Wording(List<String> questions, String answer, String key) {
        /** Copies the questions. */
        public Wording {
            questions = List.copyOf(questions);
        }

        /**
         * The phrasing that the evaluation asks. It is part of the base corpus on purpose: the exam measures what the
         * base model knows and whether tuning keeps it, not whether it understands new phrasings.
         */
        public String examQuestion() {
            return questions.get(0);
        }

        /**
         * Whether an answer says the key. A key that begins or ends with an ASCII letter or digit must stand alone
         * there: {@code is 5} is not said by {@code is 51}. Case counts.
         */
        public boolean isSaidBy(String answerGiven) {
            for (int at = answerGiven.indexOf(key); at >= 0; at = answerGiven.indexOf(key, at + 1)) {
                int end = at + key.length();
                boolean startsAlone = at == 0 || !joined(answerGiven.charAt(at - 1), key.charAt(0));
                boolean endsAlone =
                        end == answerGiven.length() || !joined(key.charAt(key.length() - 1), answerGiven.charAt(end));
                if (startsAlone && endsAlone) {
                    return true;
                }
            }
            return false;
        }

        private static boolean joined(char left, char right) {
            return isAsciiWord(left) && isAsciiWord(right);
        }

        private static boolean isAsciiWord(char c) {
            return c < 128 && Character.isLetterOrDigit(c);
        }
    }

    /** The questions and the answer in the language. */
    public Wording in(Language language) {
        return language == Language.CHINESE ? chinese : english;
    }
}
