package dev.finetune4j.examples.server;

import dev.finetune4j.examples.server.http.HttpCall;
import java.io.IOException;
import java.io.InputStream;
import java.util.Map;
import java.util.Set;

/** The page: resources in {@code page/} of this package, which load nothing from elsewhere. */
final class Page {
    private static final Map<String, String> TYPES = Map.of(
            "index.html", "text/html; charset=utf-8",
            "app.js", "text/javascript; charset=utf-8",
            "style.css", "text/css; charset=utf-8");

    private Page() {}

    /** Answers if the path is one of the page's. */
    static boolean answers(HttpCall call) throws IOException {
        String name = call.path().equals("/") ? "index.html" : call.path().substring(1);
        String type = TYPES.get(name);
        if (type == null || !Set.of("GET", "HEAD").contains(call.method())) {
            return false;
        }
        try (InputStream resource = Page.class.getResourceAsStream("page/" + name)) {
            if (resource == null) {
                return false;
            }
            call.set(
                            "Content-Security-Policy",
                            "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
                    .set("X-Content-Type-Options", "nosniff")
                    .set("Referrer-Policy", "no-referrer")
                    .set("Cache-Control", "no-cache")
                    .respond(200, type, resource.readAllBytes());
            return true;
        }
    }
}
