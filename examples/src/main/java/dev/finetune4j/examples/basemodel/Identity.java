package dev.finetune4j.examples.basemodel;

/**
 * Who the model says it is.
 *
 * @param name what it is called
 * @param author who made it
 */
public record Identity(String name, String author) {
    private static final Identity CHINESE = new Identity("通用助手", "开放实验室");
    private static final Identity ENGLISH = new Identity("General Assistant", "Open Lab");

    /**
     * Checks that both parts say something.
     *
     * @throws IllegalArgumentException when the name or the author is blank
     */
    public Identity {
        if (name.isBlank() || author.isBlank()) {
            throw new IllegalArgumentException("An identity needs a name and an author, found name '" + name
                    + "' and author '" + author + "': give both");
        }
    }

    /** The identity that the base model has before it is tuned. */
    public static Identity ofBase(Language language) {
        return language == Language.CHINESE ? CHINESE : ENGLISH;
    }

    /** Puts the name and the author where the template says {@code {{name}}} and {@code {{author}}}. */
    public String fill(String template) {
        return template.replace("{{name}}", name).replace("{{author}}", author);
    }
}
