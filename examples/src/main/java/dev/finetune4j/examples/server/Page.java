package dev.finetune4j.examples.server;

import dev.finetune4j.examples.server.http.HttpCall;
import java.io.IOException;
import java.io.InputStream;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The page: resources in {@code page/} of this package, which load nothing from elsewhere. */
final class Page {
    private static final Pattern NAME = Pattern.compile("/([a-z]+\\.(html|css|js|svg))");
    private static final String POLICY =
            "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private Page() {}

    /** Answers if the path is one of the page's. */
    static boolean answers(HttpCall call) throws IOException {
        Matcher name = NAME.matcher(call.path().equals("/") ? "/index.html" : call.path());
        if (!name.matches() || !(call.method().equals("GET") || call.method().equals("HEAD"))) {
            return false;
        }
        try (InputStream resource = Page.class.getResourceAsStream("page/" + name.group(1))) {
            if (resource == null) {
                return false;
            }
            call.set("Content-Security-Policy", POLICY)
                    .set("X-Content-Type-Options", "nosniff")
                    .set("Referrer-Policy", "no-referrer")
                    .set("Cache-Control", "no-cache")
                    .respond(200, type(name.group(2)), resource.readAllBytes());
            return true;
        }
    }

    private static String type(String ending) {
        return switch (ending) {
            case "js" -> "text/javascript; charset=utf-8";
            case "svg" -> "image/svg+xml";
            default -> "text/" + ending + "; charset=utf-8";
        };
    }
}
