package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** Requests that no server may accept, by a seed. */
final class BadRequests {
    /**
     * One of them.
     *
     * @param what is wrong
     * @param parts the bytes, sent one after the other
     * @param pause milliseconds between two parts
     */
    record Bad(String what, List<byte[]> parts, long pause) {
        static Bad of(String what, byte[] bytes) {
            return new Bad(what, List.of(bytes), 0);
        }
    }

    private static final List<String> FIELDS = List.of(
            "model",
            "messages",
            "max_tokens",
            "max_completion_tokens",
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "n",
            "stop",
            "seed",
            "stream",
            "stream_options",
            "presence_penalty",
            "frequency_penalty",
            "repetition_penalty",
            "logit_bias",
            "logprobs",
            "top_logprobs",
            "tools",
            "tool_choice",
            "response_format",
            "chat_template_kwargs",
            "user",
            "metadata",
            "min_tokens",
            "parallel_tool_calls");
    /** Of no field the right type, or out of every range. */
    private static final List<String> VALUES = List.of(
            "[[1]]",
            "{\"\": [{}]}",
            "\"\\ud800\"",
            "-9223372036854775809",
            "1e999",
            "[null]",
            "[{\"role\": 5}]",
            "[true, 1]",
            "{\"a\": \"\\udfff\"}");

    private static final List<String> NEGATIVE = List.of(
            "max_tokens",
            "max_completion_tokens",
            "temperature",
            "top_p",
            "min_p",
            "n",
            "repetition_penalty",
            "top_logprobs",
            "min_tokens");
    private static final List<String> PATHS = List.of(
            "../../etc",
            "/etc",
            "..\\..\\etc",
            "%2e%2e/%2e%2e/etc",
            "a/../../..",
            "\\u0000",
            "~root",
            "file:///etc",
            "//etc",
            ".",
            "./././../../",
            "a\\u0000/../..",
            "CON",
            "link");

    private final Random random;
    private final int bodyLimit;

    /** @param bodyLimit how long a body may be */
    BadRequests(long seed, int bodyLimit) {
        this.random = new Random(seed);
        this.bodyLimit = bodyLimit;
    }

    private <T> T any(List<T> list) {
        return list.get(random.nextInt(list.size()));
    }

    private static ObjectNode good() {
        ObjectNode body =
                TestClient.JSON.createObjectNode().put("model", "base").put("max_tokens", 2);
        body.putArray("messages").addObject().put("role", "user").put("content", "hello");
        return body;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] post(String path, byte[] body, String... headers) {
        String head =
                "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
                        + body.length + "\r\n" + String.join("", headers) + "\r\n";
        return join(bytes(head), body);
    }

    private static byte[] join(byte[] first, byte[] second) {
        byte[] both = new byte[first.length + second.length];
        System.arraycopy(first, 0, both, 0, first.length);
        System.arraycopy(second, 0, both, first.length, second.length);
        return both;
    }

    private static byte[] chat(String body) {
        return post("/v1/chat/completions", bytes(body));
    }

    /** The next one. */
    Bad next() {
        return switch (random.nextInt(12)) {
            case 0, 1 -> wrongType();
            case 2 -> negative();
            case 3 -> noJson();
            case 4 -> badBytes();
            case 5 -> unknown();
            case 6 -> huge();
            case 7 -> slow();
            case 8 -> headers();
            case 9 -> adapterPath();
            case 10 -> path();
            default -> messages();
        };
    }

    private Bad wrongType() {
        String field = any(FIELDS);
        String value = any(VALUES);
        if (field.equals("chat_template_kwargs") && value.equals("{\"\": [{}]}")) {
            value = "true"; // of a template's variables nobody but the template knows the types
        }
        String text = good().toString();
        String body = text.substring(0, text.length() - 1).replace("\"" + field + "\":", "\"\":") + ",\"" + field
                + "\":" + value + "}";
        return Bad.of("wrong type of " + field + ": " + value, chat(body));
    }

    private Bad negative() {
        String field = any(NEGATIVE);
        ObjectNode body = good().put(field, -1 - random.nextInt(1_000_000_000));
        return Bad.of("negative " + field, chat(body.toString()));
    }

    private Bad noJson() {
        String body = good().toString();
        String broken = any(List.of(
                body.substring(0, 1 + random.nextInt(body.length() - 1)),
                body + "x",
                body + body,
                "[".repeat(100_000),
                "{\"a\":".repeat(50_000),
                "",
                "null",
                "[]",
                "\"text\"",
                "NaN",
                "{\"model\":\"base\",\"model\":\"base\"}",
                body.replace("\"max_tokens\":2", "\"max_tokens\":" + "9".repeat(5_000)),
                body.replace('"', '\'')));
        return Bad.of("no JSON: " + Texts.shortened(broken), chat(broken));
    }

    private Bad badBytes() {
        byte[] body = bytes(good().toString());
        byte[] bad = new byte[1 + random.nextInt(4)];
        random.nextBytes(bad);
        bad[0] = any(List.of((byte) 0xff, (byte) 0xc0, (byte) 0xfe, (byte) 0x80, (byte) 0xed));
        System.arraycopy(bad, 0, body, body.length - 10, bad.length);
        return Bad.of("bad UTF-8", post("/v1/chat/completions", body));
    }

    private Bad unknown() {
        ObjectNode body = good();
        if (random.nextBoolean()) {
            String name = any(
                    List.of("other", "", "BASE", "base ", "../base", "base\u0000", "x".repeat(10_000), "a0'; DROP"));
            return Bad.of("unknown model", chat(body.put("model", name).toString()));
        }
        return Bad.of(
                "unknown field", chat(body.put("field" + random.nextInt(), 1).toString()));
    }

    private Bad huge() {
        return switch (random.nextInt(6)) {
            case 0 ->
                Bad.of(
                        "announced too long",
                        bytes("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                + "Content-Length: "
                                + (bodyLimit + 1L + random.nextInt()) * 1000L * (random.nextBoolean() ? 1 : 1_000_000)
                                + "\r\n\r\n"));
            case 1 ->
                Bad.of("too long", post("/v1/chat/completions", new byte[bodyLimit + 1 + random.nextInt(100_000)]));
            case 2 -> {
                byte[] head =
                        bytes("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                + "Transfer-Encoding: chunked\r\n\r\n");
                List<byte[]> parts = new ArrayList<>(List.of(head));
                byte[] chunk = join(bytes("10000\r\n"), join(new byte[0x10000], bytes("\r\n")));
                for (int i = 0; i <= bodyLimit / 0x10000 + 1; i++) {
                    parts.add(chunk);
                }
                yield new Bad("too many chunks", parts, 0);
            }
            case 3 ->
                Bad.of(
                        "no size of a chunk",
                        bytes("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                + "Transfer-Encoding: chunked\r\n\r\n"
                                + any(List.of("zz", "-1", "ffffffffffffffff", "", " 5", "0x5")) + "\r\n"));
            case 4 ->
                Bad.of(
                        "two lengths",
                        post(
                                "/v1/chat/completions",
                                bytes(good().toString()),
                                any(List.of(
                                        "Content-Length: 3\r\n",
                                        "Transfer-Encoding: chunked\r\n",
                                        "Transfer-Encoding: gzip\r\n"))));
            default ->
                Bad.of(
                        "no length",
                        bytes("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                + "Content-Length: "
                                + any(List.of("-5", "x", "1e3", "0x10", "99999999999999999999999", "+5"))
                                + "\r\n\r\n{}"));
        };
    }

    /** Slower than the limit of time, or no more at all. */
    private Bad slow() {
        byte[] request = chat(good().toString());
        int split = 1 + random.nextInt(request.length - 1);
        List<byte[]> parts = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            parts.add(i == 0 ? Arrays.copyOf(request, split) : new byte[0]);
        }
        return new Bad("slow, " + split + " of " + request.length + " bytes", parts, 150);
    }

    private Bad headers() {
        String start = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n";
        return switch (random.nextInt(9)) {
            case 0 -> {
                StringBuilder many = new StringBuilder(start);
                for (int i = 0; i < 101 + random.nextInt(10_000); i++) {
                    many.append("h").append(i).append(": v\r\n");
                }
                yield Bad.of("many headers", bytes(many + "\r\n"));
            }
            case 1 ->
                Bad.of(
                        "a long header",
                        bytes(start + "h: " + "v".repeat(40_000 + random.nextInt(2_000_000)) + "\r\n\r\n"));
            case 2 ->
                Bad.of(
                        "a long line",
                        bytes("GET /" + "x".repeat(40_000 + random.nextInt(2_000_000)) + " HTTP/1.1\r\n\r\n"));
            case 3 -> Bad.of("a header without colon", bytes(start + "nonsense\r\n\r\n"));
            case 4 -> Bad.of("a folded header", bytes(start + "h: v\r\n more: w\r\n\r\n"));
            case 5 -> Bad.of("no host", bytes("GET /v1/models HTTP/1.1\r\n\r\n"));
            case 6 -> Bad.of("a foreign host", bytes("GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
            case 7 -> Bad.of("a foreign origin", bytes(start + "Origin: https://evil.example\r\n\r\n"));
            default -> {
                byte[] noise = new byte[1 + random.nextInt(500)];
                random.nextBytes(noise);
                noise[0] = any(List.of((byte) 0x16, (byte) 'P', (byte) 0, (byte) ' '));
                yield Bad.of("noise", join(noise, bytes("\r\n\r\n")));
            }
        };
    }

    private Bad adapterPath() {
        String path = any(PATHS);
        boolean asName = random.nextBoolean();
        String name = asName ? path : "x";
        String body = "{\"lora_name\": \"" + name.replace("\\..", "\\\\..").replace("\\etc", "\\\\etc")
                + "\", \"lora_path\": \""
                + (asName ? "none" : path.replace("\\..", "\\\\..").replace("\\etc", "\\\\etc")) + "\"}";
        String verb = asName && random.nextBoolean() ? "unload" : "load";
        return Bad.of(verb + " adapter " + body, post("/v1/" + verb + "_lora_adapter", bytes(body)));
    }

    private Bad path() {
        String target = any(List.of(
                "/v1/models/..%2f..%2fetc%2fpasswd",
                "/../../etc/passwd",
                "/page/../Api.class",
                "/%2e%2e/x.js",
                "/v1/models/%zz",
                "/index.html/..",
                "/v1/training/log?run=../../etc&from=0",
                "/v1/training/log?run=a&from=-1",
                "/v1/training/log",
                "/v1/nothing",
                "/V1/models",
                "/v1/training/log?run=%00"));
        if (random.nextInt(3) == 0) {
            String method = any(List.of("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"));
            return Bad.of(method, bytes(method + " /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        }
        return Bad.of("path " + target, bytes("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    }

    private Bad messages() {
        String messages = any(List.of(
                "[]",
                "[{}]",
                "[{\"role\":\"user\"}]",
                "[{\"role\":\"king\",\"content\":\"x\"}]",
                "[{\"role\":\"assistant\",\"content\":\"x\"}]",
                "[{\"role\":\"user\",\"content\":5}]",
                "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}]}]",
                "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"system\",\"content\":\"x\"}]",
                "[{\"role\":\"tool\",\"content\":\"x\"}]",
                "[{\"role\":\"user\",\"content\":\"x\",\"extra\":1}]",
                "[{\"role\":\"user\",\"content\":\"" + "long ".repeat(2_000) + "\"}]",
                "[[]]",
                "{}",
                "\"x\"",
                "[null]"));
        return Bad.of(
                "messages " + Texts.shortened(messages), chat("{\"model\":\"base\",\"messages\":" + messages + "}"));
    }
}
