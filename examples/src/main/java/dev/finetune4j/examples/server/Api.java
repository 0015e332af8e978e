package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.examples.server.http.HttpCall;
import dev.finetune4j.examples.server.http.HttpFailure;
import dev.finetune4j.examples.server.http.HttpHandler;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Which request goes where, and what becomes of errors. Thread-safe. */
final class Api implements HttpHandler {
    private static final Logger LOG = LoggerFactory.getLogger(Api.class);
    private static final String MODELS = "/v1/models/";
    private static final Pattern JOB = Pattern.compile("/v1/training/jobs/([^/]+)(/stop)?");
    private static final String PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8";
    private static final String ID = "X-Request-Id";

    private final AtomicReference<@Nullable ServedModel> model;
    private final Gate gate;
    private final ModelsEndpoint models;
    private final Completions completions;
    private final AdapterEndpoint adapters;
    private final Metrics metrics;
    private final TrainingLogs logs;
    private final TrainingJobs jobs;

    /** @param model null while it is being loaded */
    Api(ServerSettings settings, AtomicReference<@Nullable ServedModel> model) {
        Admission admission = new Admission(settings.maxRequests());
        this.model = model;
        this.gate = new Gate(settings);
        this.models = new ModelsEndpoint(settings);
        this.metrics = new Metrics(settings.modelName(), settings.batching().maxRunning(), admission);
        this.completions = new Completions(settings, admission, metrics);
        this.adapters = new AdapterEndpoint(settings);
        this.logs = new TrainingLogs(settings.runs());
        this.jobs = new TrainingJobs(settings);
    }

    @Override
    public void handle(HttpCall call) throws IOException {
        byte[] random = new byte[12];
        ThreadLocalRandom.current().nextBytes(random);
        String id = HexFormat.of().formatHex(random);
        call.set(ID, "req_" + id);
        try {
            route(call, id);
        } catch (ApiException e) {
            send(call, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            send(call, ApiException.unavailable("the server is being stopped"));
        } catch (RuntimeException e) {
            LOG.error("the request {} has failed", id, e);
            send(call, ApiException.failed("the server has failed; its log has the request req_" + id));
        } finally {
            metrics.responded(call.status());
        }
    }

    @Override
    public void refuse(HttpCall call, HttpFailure failure) throws IOException {
        send(call, ApiException.invalid(failure.status(), "bad_http", String.valueOf(failure.getMessage())));
        metrics.responded(call.status());
    }

    private static void send(HttpCall call, ApiException e) throws IOException {
        if (call.isAnswered()) {
            call.closeAfterwards();
            return;
        }
        if (e.status() == 429 || e.status() == 503) {
            call.set("Retry-After", "1");
        } else if (e.status() >= 500) {
            // Clients send such requests again by themselves, and this one would fail again.
            call.set("x-should-retry", "false");
        }
        if (e.status() == 401) {
            call.set("WWW-Authenticate", "Bearer");
        }
        call.respond(e.status(), "application/json", bytes(error(e)));
    }

    /** An error in OpenAI's form. */
    static ObjectNode error(ApiException e) {
        ObjectNode body = JsonBody.MAPPER.createObjectNode();
        body.putObject("error")
                .put("message", e.getMessage())
                .put("type", e.type())
                .put("param", e.param())
                .put("code", e.code());
        return body;
    }

    static byte[] bytes(JsonNode body) {
        return JsonBody.write(body).getBytes(StandardCharsets.UTF_8);
    }

    private void route(HttpCall call, String id) throws IOException, InterruptedException {
        gate.requireOrigin(call);
        if (Gate.answersPreflight(call) || Page.answers(call)) {
            return;
        }
        switch (call.path()) {
            case "/health" -> {
                require(call, "GET");
                loaded();
                call.respond(200, "application/json", "{\"status\":\"ok\"}".getBytes(StandardCharsets.UTF_8));
            }
            case "/metrics" -> {
                require(call, "GET");
                call.respond(200, PROMETHEUS, metrics.text().getBytes(StandardCharsets.UTF_8));
            }
            case "/v1/models" -> json(call, "GET", () -> models.list(loaded()));
            case "/v1/training/runs" -> json(call, "GET", () -> jobs.tell(logs.list()));
            case "/v1/training/jobs" -> jobs(call);
            case "/v1/training/log" -> json(call, "GET", () -> log(call));
            case "/v1/adapters" -> json(call, "GET", adapters::list);
            case "/v1/load_lora_adapter" -> adapters.load(post(call), loaded());
            case "/v1/unload_lora_adapter" -> adapters.unload(post(call), loaded());
            case "/v1/chat/completions" -> completions.chat(post(call), loaded(), id);
            case "/v1/completions" -> completions.text(post(call), loaded(), id);
            default -> named(call);
        }
    }

    /** Paths that end in a name. */
    private void named(HttpCall call) throws IOException {
        Matcher job = JOB.matcher(call.path());
        if (job.matches()) {
            String name = HttpCall.decode(job.group(1));
            boolean stops = job.group(2) != null;
            json(call, stops ? "POST" : "GET", () -> stops ? jobs.stop(name) : jobs.get(name));
        } else if (call.path().startsWith(MODELS)) {
            String name = HttpCall.decode(call.path().substring(MODELS.length()).replace("+", "%2B"));
            json(call, "GET", () -> models.get(loaded(), name));
        } else {
            throw ApiException.invalid(404, "not_found", "nothing is at " + Texts.shortened(call.path()));
        }
    }

    private void jobs(HttpCall call) throws IOException {
        if (call.method().equals("POST")) {
            json(call, "POST", () -> jobs.start(JsonBody.read(call), loaded()));
        } else {
            json(call, "GET", jobs::list);
        }
    }

    /** What a request gets. */
    @FunctionalInterface
    private interface Answer {
        JsonNode get() throws IOException;
    }

    private HttpCall post(HttpCall call) {
        require(call, "POST");
        gate.requireKey(call);
        return call;
    }

    private void json(HttpCall call, String method, Answer answer) throws IOException {
        require(call, method);
        gate.requireKey(call);
        call.respond(200, "application/json", bytes(answer.get()));
    }

    private static void require(HttpCall call, String method) {
        boolean isHead = call.method().equals("HEAD") && method.equals("GET");
        if (!call.method().equals(method) && !isHead) {
            call.set("Allow", method);
            throw ApiException.invalid(405, "method_not_allowed", call.path() + " takes " + method + " alone");
        }
    }

    private JsonNode log(HttpCall call) throws IOException {
        String run = call.query("run").orElseThrow(() -> ApiException.invalid("run", "the parameter run is missing"));
        String from = call.query("from").orElse("0");
        if (!from.matches("[0-9]{1,15}")) {
            throw ApiException.invalid("from", "from must be an offset in bytes");
        }
        return logs.read(run, Long.parseLong(from));
    }

    private ServedModel loaded() {
        ServedModel there = model.get();
        if (there == null) {
            throw ApiException.unavailable("the model is being loaded");
        }
        return there;
    }
}
