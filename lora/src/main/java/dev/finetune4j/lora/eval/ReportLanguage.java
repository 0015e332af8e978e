package dev.finetune4j.lora.eval;

import java.util.Locale;

/** The language of a report. */
enum ReportLanguage {
    ENGLISH("en"),
    CHINESE("zh");

    private final String code;

    ReportLanguage(String code) {
        this.code = code;
    }

    static ReportLanguage of(Locale locale) {
        return locale.getLanguage().equals("zh") ? CHINESE : ENGLISH;
    }

    /** As the attribute {@code lang} of HTML has it. */
    String code() {
        return code;
    }
}
