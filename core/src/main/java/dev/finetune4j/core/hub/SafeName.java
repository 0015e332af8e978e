package dev.finetune4j.core.hub;

import java.util.regex.Pattern;

/** Checks names that hubs and users give before they become parts of paths or addresses. Stateless. */
final class SafeName {
    /** As huggingface_hub has it. */
    private static final Pattern PART = Pattern.compile("[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?");

    private static final Pattern REVISION =
            Pattern.compile("[A-Za-z0-9][A-Za-z0-9._+@-]*(?:/[A-Za-z0-9][A-Za-z0-9._+@-]*)*");
    private static final Pattern LEADING_OUT = Pattern.compile("[\\\\\\x00-\\x1f\\x7f]|^[A-Za-z]:");
    private static final int LONGEST = 255;

    private SafeName() {}

    /** Whether a text is the id of a model, {@code name} or {@code org/name}. */
    static boolean isId(String text) {
        String[] parts = text.split("/", -1);
        if (parts.length > 2 || text.contains("..") || text.contains("--") || text.endsWith(".git")) {
            return false;
        }
        for (String part : parts) {
            if (!PART.matcher(part).matches()) {
                return false;
            }
        }
        return true;
    }

    /** Whether a text can be a branch, tag or commit. */
    static boolean isRevision(String text) {
        return text.length() <= LONGEST && REVISION.matcher(text).matches() && !text.contains("..");
    }

    /**
     * Whether the path of a file stays in its folder on every platform.
     *
     * @param path with {@code /} between its parts
     */
    static boolean isInside(String path) {
        if (path.isEmpty() || LEADING_OUT.matcher(path).find()) {
            return false;
        }
        for (String part : path.split("/", -1)) {
            if (part.isEmpty() || part.length() > LONGEST || part.equals(".") || part.equals("..")) {
                return false;
            }
        }
        return true;
    }

    /** @throws HubException when the path of a file may lead out of its folder */
    static void require(String path) {
        if (!isInside(path)) {
            throw new HubException(
                    HubException.Reason.UNUSABLE,
                    "the repository has a file named " + shown(path)
                            + ", which may lead out of the model's folder; do not use this repository");
        }
    }

    private static String shown(String text) {
        String cut = text.length() > 80 ? text.substring(0, 80) + "…" : text;
        return "\"" + cut.replaceAll("\\p{Cntrl}", "?") + "\"";
    }
}
