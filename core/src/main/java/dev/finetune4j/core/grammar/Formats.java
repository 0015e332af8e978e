package dev.finetune4j.core.grammar;

import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * The <a href="https://json-schema.org/draft/2020-12/json-schema-validation#section-7.3">formats</a> of texts as regular expressions: what
 * matches has the format, while rare forms of it, such as leap seconds, do not match.
 */
final class Formats {
    private static final String DATE =
            "(?:[12]\\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))"
                    + "|(?:[12]\\d(?:0[48]|[2468][048]|[13579][26])|(?:12|16|20|24|28)00)-02-29)";
    private static final String TIME = "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?"
            + "(?:Z|\\+(?:0\\d|1[0-3]):(?:00|15|30|45)|-(?:0[1-9]|1[01]):(?:00|30))";
    private static final String LABEL = "[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,20}){0,2}";
    private static final String HOST = "(?:" + LABEL + "\\.){1,3}[A-Za-z]{2,12}";
    private static final String BYTE = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
    private static final String IPV4 = "(?:" + BYTE + "\\.){3}" + BYTE;
    private static final String SEGMENT = "[A-Za-z0-9._~!$&'()*+,;=:@-]";
    private static final String TAIL =
            "(?:/" + SEGMENT + "*)*(?:\\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?(?:#[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?";
    private static final String URI = "(?:[a-z][a-z0-9]{1,9}://(?:" + HOST + "|" + IPV4 + ")(?::[1-9]\\d{0,3})?" + TAIL
            + "|(?:mailto|tel|urn):" + SEGMENT + "+)";

    private static final Map<String, String> EXPRESSIONS = Map.ofEntries(
            Map.entry("date", DATE),
            Map.entry("time", TIME),
            Map.entry("date-time", DATE + "T" + TIME),
            Map.entry(
                    "duration",
                    "P(?:\\d{1,4}W|(?:\\d{1,4}Y(?:\\d{1,2}M(?:\\d{1,2}D)?)?|\\d{1,2}M(?:\\d{1,2}D)?|\\d{1,3}D)(?:T(?:\\d{1,2}H(?:\\d{1,2}M(?:\\d{1,2}S)?)?|\\d{1,2}M(?:\\d{1,2}S)?|\\d{1,3}S))?"
                            + "|T(?:\\d{1,2}H(?:\\d{1,2}M(?:\\d{1,2}S)?)?|\\d{1,2}M(?:\\d{1,2}S)?|\\d{1,3}S))"),
            Map.entry("email", "[A-Za-z0-9]{1,20}(?:[._+-][A-Za-z0-9]{1,14}){0,2}@" + HOST),
            Map.entry("hostname", HOST),
            Map.entry("ipv4", IPV4),
            Map.entry("ipv6", ipv6()),
            Map.entry("uri", URI),
            Map.entry("uri-reference", "(?:" + URI + "|/(?:" + SEGMENT + "+" + TAIL + ")?)"),
            Map.entry("uuid", "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"));

    private Formats() {}

    /** An expression that a whole text of the format matches; null for a format that is not known. */
    static @Nullable String expression(String format) {
        String expression = EXPRESSIONS.get(format);
        return expression == null ? null : "^" + "(?:" + expression + ")$";
    }

    static Set<String> names() {
        return new TreeSet<>(EXPRESSIONS.keySet());
    }

    /** Eight groups, or fewer with one gap. */
    private static String ipv6() {
        String group = "[0-9a-fA-F]{1,4}";
        StringBuilder all = new StringBuilder("(?:(?:" + group + ":){7}" + group + "|::");
        for (int before = 0; before <= 6; before++) {
            String head = before == 0 ? ":" : "(?:" + group + ":){" + before + "}";
            int after = 7 - before;
            if (after > 1) {
                all.append("|")
                        .append(head)
                        .append("(?::")
                        .append(group)
                        .append("){1,")
                        .append(after - 1)
                        .append("}");
            }
            if (before > 0) {
                all.append("|").append(head).append(":");
            }
        }
        return all.append(")").toString();
    }
}
