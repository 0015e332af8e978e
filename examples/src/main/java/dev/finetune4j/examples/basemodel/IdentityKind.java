package dev.finetune4j.examples.basemodel;

import java.util.Locale;

/** What a question about the model's identity asks for. */
public enum IdentityKind {
    /** The name. */
    NAME,
    /** The person or company that made it. */
    MAKER,
    /** The name and the maker. */
    BOTH;

    /** The lower-case name used in the bundled JSON files. */
    public String code() {
        return name().toLowerCase(Locale.ROOT);
    }

    /**
     * The kind of a lower-case name.
     *
     * @throws IllegalArgumentException when the name is not {@code name}, {@code maker} or {@code both}
     */
    public static IdentityKind ofCode(String code) {
        for (IdentityKind kind : values()) {
            if (kind.code().equals(code)) {
                return kind;
            }
        }
        throw new IllegalArgumentException(
                "Unknown kind of identity question '" + code + "': expected 'name', 'maker' or 'both'");
    }
}
