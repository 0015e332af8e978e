package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;

/** A client that sends what it is told and hides nothing. */
final class TestClient {
    static final ObjectMapper JSON = new ObjectMapper();

    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final URI server;
    private final String[] headers;

    TestClient(URI server, String... headers) {
        this.server = server;
        this.headers = headers;
    }

    HttpResponse<String> get(String path) throws IOException, InterruptedException {
        return http.send(request(path).GET().build(), HttpResponse.BodyHandlers.ofString());
    }

    HttpResponse<String> post(String path, String body) throws IOException, InterruptedException {
        return http.send(
                request(path)
                        .header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(body))
                        .build(),
                HttpResponse.BodyHandlers.ofString());
    }

    private HttpRequest.Builder request(String path) {
        HttpRequest.Builder request = HttpRequest.newBuilder(server.resolve(path));
        return headers.length == 0 ? request : request.headers(headers);
    }

    /** A response that has to be of a status, as JSON. */
    static JsonNode json(int status, HttpResponse<String> response) throws IOException {
        if (response.statusCode() != status) {
            throw new AssertionError(
                    "expected " + status + ", but got " + response.statusCode() + ": " + response.body());
        }
        return JSON.readTree(response.body());
    }

    /** The events of a streamed response, without the last, which has to be [DONE]. */
    static List<JsonNode> events(HttpResponse<String> response) throws IOException {
        List<JsonNode> events = new ArrayList<>();
        boolean done = false;
        for (String line : response.body().lines().toList()) {
            if (line.equals("data: [DONE]")) {
                done = true;
            } else if (line.startsWith("data: ")) {
                events.add(JSON.readTree(line.substring(6)));
            }
        }
        if (!done) {
            throw new AssertionError("the stream has no end: " + response.body());
        }
        return events;
    }

    /** What the events of one choice say. */
    static String content(List<JsonNode> events, int choice) {
        StringBuilder text = new StringBuilder();
        for (JsonNode event : events) {
            JsonNode found = event.path("choices").path(0);
            if (found.path("index").asInt(-1) == choice) {
                text.append(found.path("delta").path("content").asText(""));
            }
        }
        return text.toString();
    }
}
