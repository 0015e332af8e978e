package dev.finetune4j.examples.basemodel;

/** One of the two languages that the small model speaks. */
public enum Language {
    CHINESE("zh"),
    ENGLISH("en");

    private final String code;

    Language(String code) {
        this.code = code;
    }

    /** The ISO 639-1 code, which is also the field name in the bundled JSON files. */
    public String code() {
        return code;
    }

    /**
     * The language of an ISO 639-1 code.
     *
     * @throws IllegalArgumentException when the code is neither {@code zh} nor {@code en}
     */
    public static Language ofCode(String code) {
        for (Language language : values()) {
            if (language.code.equals(code)) {
                return language;
            }
        }
        throw new IllegalArgumentException("Unknown language code '" + code + "': expected 'zh' or 'en'");
    }
}
