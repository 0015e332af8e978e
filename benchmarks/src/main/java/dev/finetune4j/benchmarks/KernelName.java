package dev.finetune4j.benchmarks;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Makes the names of kernels fit for reading: of a C++ name, mangled by the
 * <a href="https://itanium-cxx-abi.github.io/cxx-abi/abi.html#mangling">rules of the Itanium ABI</a>, it keeps the
 * identifiers in their order, each once.
 */
final class KernelName {
    private static final int MOST_CHARACTERS = 110;

    /** Literals and references to earlier parts, which hold digits too; or the length of an identifier. */
    private static final Pattern PIECE = Pattern.compile("L[a-z]n?\\d+E|[ST][0-9A-Z]*_|(\\d+)");

    private static final Pattern IDENTIFIER = Pattern.compile("[A-Za-z_]\\w*");

    private KernelName() {}

    /** At most 110 characters. */
    static String readable(String name) {
        String text = name.startsWith("_Z") ? identifiers(name) : name;
        return text.length() <= MOST_CHARACTERS ? text : text.substring(0, MOST_CHARACTERS - 1) + "…";
    }

    private static String identifiers(String name) {
        List<String> found = new ArrayList<>();
        Matcher piece = PIECE.matcher(name);
        int at = 2;
        while (piece.find(at)) {
            at = piece.end();
            String digits = piece.group(1);
            if (digits == null || digits.length() > 4) {
                continue;
            }
            int end = at + Integer.parseInt(digits);
            if (end <= name.length()
                    && IDENTIFIER.matcher(name.substring(at, end)).matches()) {
                String identifier = name.substring(at, end);
                if (!found.contains(identifier) && !identifier.startsWith("_GLOBAL__N_")) {
                    found.add(identifier);
                }
                at = end;
            }
        }
        return found.isEmpty() ? name : String.join("::", found);
    }
}
