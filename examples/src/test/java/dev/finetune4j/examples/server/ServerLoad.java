package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.quant.QuantSettings;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;

/**
 * Many clients that stream from one server: how fast, and whether each answer is the one that is given alone. In bf16 the answer may leave that from
 * the first token on whose lead over the second likeliest is below {@code --tie}, of natural logarithms; such answers are counted. How much the
 * rounding of bfloat16 turns depends on the model: {@code NoiseCells} of the benchmarks measures it.
 *
 * <p>Arguments, all with usual values: {@code --model FOLDER --clients 1,16,64 --adapters 8 --seconds 20 --tokens 64 --device cpu --quantize false
 * --precision bf16 --template NAME --questions 5 --size 0.3 --tie 0.05}.
 */
final class ServerLoad {
    private static final List<String> QUESTIONS = List.of(
            "What is the capital of Japan?",
            "Tell me a long story about a river.",
            "Who are you?",
            "Hello",
            "Write about the sea and the mountains and what lies between them.");

    /**
     * A question with its answer alone.
     *
     * @param body of the request
     * @param text the answer
     * @param ends where each token of it ends
     * @param leads of each token over the second likeliest
     * @param tie with a smaller lead a token may be another one
     */
    record Known(String body, String text, int[] ends, double[] leads, double tie) {
        private int common(String other) {
            int common = 0;
            while (common < Math.min(text.length(), other.length()) && text.charAt(common) == other.charAt(common)) {
                common++;
            }
            return common;
        }

        /** Where another answer leaves this one, and by which leads until then. */
        String leaving(String other) {
            int common = common(other);
            int token = 0;
            double least = Double.POSITIVE_INFINITY;
            while (token < ends.length && ends[token] <= common) {
                least = Math.min(least, leads[token++]);
            }
            return String.format(
                    Locale.ROOT,
                    "after %d tokens%s one with the lead %.3f is another",
                    token,
                    token == 0 ? "" : String.format(Locale.ROOT, ", whose least lead was %.3f,", least),
                    token < leads.length ? leads[token] : Double.NaN);
        }

        boolean mayLeave(String other) {
            int common = common(other);
            for (int token = 0; token < ends.length; token++) {
                if (leads[token] < tie) {
                    return true;
                }
                if (ends[token] > common) {
                    return false;
                }
            }
            return false;
        }
    }

    /**
     * What some clients have seen.
     *
     * @param firsts milliseconds to the first token
     * @param gaps milliseconds between two
     * @param rss MiB after a quarter of the time and at the end
     */
    record Seen(
            int clients,
            double seconds,
            long tokens,
            int answers,
            int ties,
            int busy,
            List<String> wrong,
            double[] firsts,
            double[] gaps,
            double[] rss) {
        double tokensPerSecond() {
            return tokens / seconds;
        }

        @Override
        public String toString() {
            return String.format(
                    Locale.ROOT,
                    "%d clients, %.1f s: %d answers, %.0f tokens/s, wrong %d, ties %d, 429 %d; first token p50 %.1f p99 %.1f ms, gap p50 %.2f"
                            + " p99 %.2f ms; RSS %.0f to %.0f MiB %s",
                    clients,
                    seconds,
                    answers,
                    tokensPerSecond(),
                    wrong.size(),
                    ties,
                    busy,
                    percentile(firsts, 50),
                    percentile(firsts, 99),
                    percentile(gaps, 50),
                    percentile(gaps, 99),
                    rss[0],
                    rss[1],
                    wrong.stream().limit(3).toList());
        }

        static double percentile(double[] sorted, double percent) {
            return sorted.length == 0 ? 0 : sorted[(int) Math.min(sorted.length - 1, sorted.length * percent / 100)];
        }
    }

    private final URI server;
    private final int tokens;
    private final double tie;
    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    /**
     * @param tokens of an answer
     * @param tie in bf16 a token with a smaller lead may be another one
     */
    ServerLoad(URI server, int tokens, double tie) {
        this.tie = tie;
        this.server = server;
        this.tokens = tokens;
    }

    private HttpRequest request(String body) {
        return HttpRequest.newBuilder(server.resolve("/v1/chat/completions"))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
    }

    /** Each question to each model, one after the other. */
    List<Known> alone(List<String> models, int questions) throws IOException, InterruptedException {
        List<Known> all = new ArrayList<>();
        for (String model : models) {
            for (String question : QUESTIONS.subList(0, questions)) {
                ObjectNode body =
                        TestClient.JSON.createObjectNode().put("model", model).put("temperature", 0);
                body.put("max_tokens", tokens);
                body.putArray("messages").addObject().put("role", "user").put("content", question);
                ObjectNode scored = body.deepCopy().put("logprobs", true).put("top_logprobs", 2);
                JsonNode answer = TestClient.json(
                                200, http.send(request(scored.toString()), HttpResponse.BodyHandlers.ofString()))
                        .path("choices")
                        .path(0);
                JsonNode told = answer.path("logprobs").path("content");
                int[] ends = new int[told.size()];
                double[] leads = new double[told.size()];
                int end = 0;
                for (int i = 0; i < ends.length; i++) {
                    end += told.path(i).path("token").asText().length();
                    ends[i] = end;
                    JsonNode top = told.path(i).path("top_logprobs");
                    leads[i] = top.path(0).path("logprob").asDouble()
                            - top.path(1).path("logprob").asDouble();
                }
                body.put("stream", true).putObject("stream_options").put("include_usage", true);
                all.add(new Known(
                        body.toString(), answer.path("message").path("content").asText(), ends, leads, tie));
            }
        }
        return all;
    }

    /** Lets some clients ask for a time, each another order. */
    Seen run(List<Known> known, int clients, double seconds, long seed) throws InterruptedException, IOException {
        ConcurrentLinkedQueue<String> wrong = new ConcurrentLinkedQueue<>();
        ConcurrentLinkedQueue<double[]> firsts = new ConcurrentLinkedQueue<>();
        ConcurrentLinkedQueue<double[]> gaps = new ConcurrentLinkedQueue<>();
        AtomicInteger answers = new AtomicInteger();
        AtomicInteger ties = new AtomicInteger();
        AtomicInteger busy = new AtomicInteger();
        AtomicLong pieces = new AtomicLong();
        AtomicLong generated = new AtomicLong();
        AtomicLong cutPieces = new AtomicLong();
        long begin = System.nanoTime();
        long deadline = begin + (long) (seconds * 1e9);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < clients; i++) {
            SplittableRandom random = new SplittableRandom(seed * 1000 + i);
            Thread thread = new Thread(() -> {
                while (System.nanoTime() < deadline) {
                    Known next = known.get(random.nextInt(known.size()));
                    try {
                        Answer answer = ask(next.body(), deadline);
                        if (answer.busy()) {
                            busy.incrementAndGet();
                            Thread.sleep(20);
                            continue;
                        }
                        if (answer.cut()) {
                            cutPieces.addAndGet(answer.pieces());
                        } else {
                            pieces.addAndGet(answer.pieces());
                            generated.addAndGet(answer.tokens());
                        }
                        firsts.add(new double[] {answer.first()});
                        gaps.add(answer.gaps());
                        if (answer.cut()) {
                            return;
                        }
                        answers.incrementAndGet();
                        if (!answer.text().equals(next.text())) {
                            if (next.mayLeave(answer.text())) {
                                ties.incrementAndGet();
                            } else {
                                wrong.add(next.leaving(answer.text()));
                            }
                        }
                    } catch (IOException | RuntimeException | Error e) {
                        wrong.add(e.toString());
                    } catch (InterruptedException e) {
                        return;
                    }
                }
            });
            threads.add(thread);
            thread.start();
        }
        Thread.sleep((long) (seconds * 250));
        double early = rss();
        for (Thread thread : threads) {
            thread.join();
        }
        return new Seen(
                clients,
                (System.nanoTime() - begin) / 1e9,
                // A piece may have several tokens; of an answer that was cut only pieces are known.
                generated.get() + Math.round((double) cutPieces.get() * generated.get() / Math.max(1, pieces.get())),
                answers.get(),
                ties.get(),
                busy.get(),
                List.copyOf(wrong),
                sorted(firsts),
                sorted(gaps),
                new double[] {early, rss()});
    }

    private static double[] sorted(ConcurrentLinkedQueue<double[]> parts) {
        return parts.stream().flatMapToDouble(Arrays::stream).sorted().toArray();
    }

    private record Answer(
            boolean busy, boolean cut, String text, int tokens, int pieces, double first, double[] gaps) {}

    /** After the deadline the client leaves in the middle. */
    private Answer ask(String body, long deadline) throws IOException, InterruptedException {
        long begin = System.nanoTime();
        HttpResponse<InputStream> response = http.send(request(body), HttpResponse.BodyHandlers.ofInputStream());
        try (InputStream in = response.body()) {
            if (response.statusCode() == 429) {
                in.readAllBytes();
                return new Answer(true, false, "", 0, 0, 0, new double[0]);
            }
            if (response.statusCode() != 200) {
                throw new IOException(
                        response.statusCode() + " " + new String(in.readAllBytes(), StandardCharsets.UTF_8));
            }
            return read(new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8)), begin, deadline);
        }
    }

    private static Answer read(BufferedReader lines, long begin, long deadline) throws IOException {
        StringBuilder text = new StringBuilder();
        List<Double> times = new ArrayList<>();
        long last = begin;
        double first = 0;
        int tokens = 0;
        String line = lines.readLine();
        for (; line != null && !line.equals("data: [DONE]"); line = lines.readLine()) {
            if (!line.startsWith("data: ")) {
                continue;
            }
            JsonNode event = TestClient.JSON.readTree(line.substring(6));
            if (event.has("error")) {
                throw new IOException(line);
            }
            tokens = event.path("usage").path("completion_tokens").asInt(tokens);
            String content =
                    event.path("choices").path(0).path("delta").path("content").asText("");
            if (content.isEmpty()) {
                continue;
            }
            long now = System.nanoTime();
            if (text.length() == 0) {
                first = (now - begin) / 1e6;
            } else {
                times.add((now - last) / 1e6);
            }
            last = now;
            text.append(content);
            if (now > deadline) {
                break;
            }
        }
        boolean cut = line == null || !line.equals("data: [DONE]");
        if (line == null) {
            throw new IOException("the stream has no end");
        }
        double[] gaps = times.stream().mapToDouble(Double::doubleValue).toArray();
        return new Answer(false, cut, text.toString(), tokens, gaps.length + 1, first, gaps);
    }

    /** Resident memory of the server, in MiB. */
    private double rss() throws IOException, InterruptedException {
        String metrics = http.send(
                        HttpRequest.newBuilder(server.resolve("/metrics")).build(),
                        HttpResponse.BodyHandlers.ofString())
                .body();
        return metrics.lines()
                .filter(line -> line.startsWith("process_resident_memory_bytes "))
                .mapToDouble(line -> Double.parseDouble(line.substring(line.indexOf(' '))) / (1 << 20))
                .findFirst()
                .orElse(0);
    }

    private static String option(String[] args, String name, String usual) {
        int at = Arrays.asList(args).indexOf(name);
        return at < 0 ? usual : args[at + 1];
    }

    public static void main(String[] args) throws Exception {
        Path model = Path.of(option(args, "--model", "src/main/resources/dev/finetune4j/examples/base-model"));
        int count = Integer.parseInt(option(args, "--adapters", "8"));
        ModelServer server = ModelServer.start(ServerSettings.builder("base")
                .address(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .build());
        Path folder = Files.createTempDirectory("adapters");
        LanguageModel.Loader loader = LanguageModel.loader(model)
                .device(option(args, "--device", "cpu").equals("cuda") ? ComputeDevice.cuda(0) : ComputeDevice.cpu())
                .precision(Precision.valueOf(option(args, "--precision", "bf16").toUpperCase(Locale.ROOT)));
        if (!option(args, "--template", "").isEmpty()) {
            loader.chatTemplate(option(args, "--template", ""));
        }
        if (Boolean.parseBoolean(option(args, "--quantize", "false"))) {
            loader.quantize(QuantSettings.nf4());
        }
        server.load(loader::load);
        List<String> names = new ArrayList<>(List.of("base"));
        try (server) {
            for (int i = 0; i < count; i++) {
                names.add("a" + i);
                server.loadAdapter(
                        "a" + i,
                        RandomAdapters.write(
                                folder.resolve("a" + i), model, Double.parseDouble(option(args, "--size", "0.3")), i));
            }
            ServerLoad load = new ServerLoad(
                    server.address(),
                    Integer.parseInt(option(args, "--tokens", "64")),
                    Double.parseDouble(option(args, "--tie", "0.05")));
            List<Known> known = load.alone(names, Integer.parseInt(option(args, "--questions", "5")));
            System.out.println(known.stream().map(Known::text).distinct().count() + " different answers to "
                    + known.size() + " questions");
            double seconds = Double.parseDouble(option(args, "--seconds", "20"));
            for (int clients : Stream.of(option(args, "--clients", "1,16,64").split(",", -1))
                    .mapToInt(Integer::parseInt)
                    .toArray()) {
                System.out.println(load.run(known, clients, seconds, clients));
            }
        }
    }
}
