package dev.finetune4j.core.inference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.generate.ToolCall;
import dev.finetune4j.core.json.PlainValues;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class AnswerParserTest {
    /** An answer in parts: thoughts, text and calls. */
    private record Parted(String reasoning, String content, List<String> calls) {}

    private static Parted parted(AnswerParser parser, List<String> pieces) {
        StringBuilder reasoning = new StringBuilder();
        StringBuilder content = new StringBuilder();
        List<AnswerParser.Part> parts = new ArrayList<>();
        pieces.forEach(piece -> parts.addAll(parser.accept(piece)));
        parts.addAll(parser.finish());
        for (AnswerParser.Part part : parts) {
            reasoning.append(part.reasoning());
            content.append(part.content());
        }
        List<String> calls = new ArrayList<>();
        for (ToolCall call : parser.calls()) {
            calls.add(call.id() + " " + call.name() + " " + call.arguments());
        }
        return new Parted(reasoning.toString(), content.toString(), calls);
    }

    private static List<String> split(String text, Random random) {
        List<String> pieces = new ArrayList<>();
        int from = 0;
        while (from < text.length()) {
            int to = Math.min(text.length(), from + 1 + random.nextInt(4));
            pieces.add(text.substring(from, to));
            from = to;
        }
        return pieces;
    }

    static Stream<Arguments> answers() {
        String weather = "call00200 get_weather {\"city\":\"\u5317\u4eac\",\"days\":3}";
        return Stream.of(
                Arguments.of(null, false, "Plain <b>text</b>", new Parted("", "Plain <b>text</b>", List.of())),
                Arguments.of(null, false, "<think>\nWell.\n</think>\n\nYes.", new Parted("Well.", "Yes.", List.of())),
                Arguments.of(
                        null, true, "Well, a < b.\n</think>\n\nYes.", new Parted("Well, a < b.", "Yes.", List.of())),
                Arguments.of(null, true, "Never ending </thin", new Parted("Never ending </thin", "", List.of())),
                Arguments.of(null, false, "<think></think>Yes.", new Parted("", "Yes.", List.of())),
                Arguments.of(null, false, " <thing", new Parted("", " <thing", List.of())),
                Arguments.of(
                        ToolCallFormat.TAGS,
                        false,
                        "<think>Ask.</think>\n\nLet me look.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"\u5317\u4eac\","
                                + " \"days\": 3}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>",
                        new Parted("Ask.", "Let me look.\n", List.of(weather, "call00201 now {}"))),
                Arguments.of(
                        ToolCallFormat.TAGS,
                        false,
                        "<tool_call>\n{\"name\": broken}\n</tool_call>",
                        new Parted("", "<tool_call>\n{\"name\": broken}\n</tool_call>", List.of())),
                Arguments.of(ToolCallFormat.TAGS, false, "a <tool", new Parted("", "a <tool", List.of())),
                Arguments.of(
                        ToolCallFormat.MISTRAL,
                        false,
                        "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": {\"city\": \"\u5317\u4eac\", \"days\": 3}, \"id\": \"abcdefghi\"}]",
                        new Parted("", "", List.of("abcdefghi get_weather {\"city\":\"\u5317\u4eac\",\"days\":3}"))),
                Arguments.of(
                        ToolCallFormat.DEEPSEEK,
                        false,
                        "<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>"
                                + "get_weather\n```json\n{\"city\": \"\u5317\u4eac\", \"days\": 3}\n```<\uff5ctool\u2581call\u2581end\uff5c>"
                                + "<\uff5ctool\u2581calls\u2581end\uff5c>",
                        new Parted("", "", List.of(weather))),
                Arguments.of(
                        ToolCallFormat.KIMI,
                        false,
                        "Hm.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
                                + "{\"city\": \"\u5317\u4eac\", \"days\": 3}<|tool_call_end|><|tool_calls_section_end|>",
                        new Parted(
                                "",
                                "Hm.",
                                List.of("functions." + weather.substring(10, 21) + ":0" + weather.substring(21)))),
                Arguments.of(
                        ToolCallFormat.PYTHON,
                        false,
                        "<|tool_call_start|>[get_weather(city='\u5317\u4eac', days=3), f(a=[1.5, None, True], b={'k': \"it's\"})]<|tool_call_end|>",
                        new Parted(
                                "",
                                "",
                                List.of(weather, "call00201 f {\"a\":[1.5,null,true],\"b\":{\"k\":\"it's\"}}"))),
                Arguments.of(
                        ToolCallFormat.COMMAND_R,
                        false,
                        "Action:\n```json\n[\n    {\n        \"tool_name\": \"get_weather\",\n        \"parameters\": {\"city\": \"\u5317\u4eac\","
                                + " \"days\": 3}\n    }\n]```",
                        new Parted("", "", List.of(weather))),
                Arguments.of(
                        ToolCallFormat.LLAMA,
                        false,
                        "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"\u5317\u4eac\", \"days\": 3}}",
                        new Parted("", "", List.of(weather))),
                Arguments.of(
                        ToolCallFormat.COMMAND_R7B,
                        false,
                        "<|START_THINKING|>I look.<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\":"
                                + " \"get_weather\", \"parameters\": {\"city\": \"\u5317\u4eac\", \"days\": 3}}\n]<|END_ACTION|>",
                        new Parted("I look.", "", List.of(weather))),
                Arguments.of(
                        ToolCallFormat.COMMAND_R7B,
                        false,
                        "<|START_THINKING|>Easy.<|END_THINKING|><|START_RESPONSE|>Sunny.",
                        new Parted("Easy.", "Sunny.", List.of())),
                Arguments.of(
                        ToolCallFormat.COMMAND_R7B,
                        false,
                        "<|START_RESPONSE|>Sunny.",
                        new Parted("", "Sunny.", List.of())),
                Arguments.of(ToolCallFormat.COMMAND_R7B, false, "Sunny.", new Parted("", "Sunny.", List.of())),
                Arguments.of(
                        ToolCallFormat.COMMAND_R7B, false, "<|START_RES", new Parted("", "<|START_RES", List.of())),
                Arguments.of(
                        ToolCallFormat.GRANITE,
                        false,
                        "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"\u5317\u4eac\", \"days\": 3}}]",
                        new Parted("", "", List.of(weather))),
                Arguments.of(
                        ToolCallFormat.GLM,
                        false,
                        "get_weather\n{\"city\": \"\u5317\u4eac\", \"days\": 3}",
                        new Parted("", "", List.of(weather))),
                Arguments.of(
                        ToolCallFormat.GLM,
                        false,
                        "\nget_weather \n{\"city\": \"\u5317\u4eac\", \"days\": 3}",
                        new Parted("", "", List.of(weather))),
                Arguments.of(
                        ToolCallFormat.GLM,
                        false,
                        "Sunny.\nAnd {warm}.",
                        new Parted("", "Sunny.\nAnd {warm}.", List.of())),
                Arguments.of(ToolCallFormat.GLM, false, "set\n{1", new Parted("", "set\n{1", List.of())),
                Arguments.of(ToolCallFormat.GLM, false, "Yes", new Parted("", "Yes", List.of())),
                Arguments.of(ToolCallFormat.LLAMA, false, "A set {1}.", new Parted("", "A set {1}.", List.of())),
                Arguments.of(ToolCallFormat.LLAMA, false, "{1}", new Parted("", "{1}", List.of())));
    }

    private static AnswerParser.Marks marks(@Nullable ToolCallFormat format) {
        return format == ToolCallFormat.COMMAND_R7B ? AnswerParser.Marks.COMMAND_R7B : AnswerParser.Marks.USUAL;
    }

    @ParameterizedTest
    @MethodSource("answers")
    void theyArePartedAtEverySplit(ToolCallFormat format, boolean isThinking, String answer, Parted expected) {
        Random random = new Random(3);
        for (int round = 0; round < 50; round++) {
            List<String> pieces = round == 0 ? List.of(answer) : split(answer, random);
            Parted parted = parted(new AnswerParser(marks(format), true, isThinking, format, 200), pieces);
            if (format == ToolCallFormat.KIMI) {
                assertEquals(
                        "functions.get_weather:0 get_weather {\"city\":\"\u5317\u4eac\",\"days\":3}",
                        parted.calls().get(0));
                assertEquals(expected.content(), parted.content());
            } else {
                assertEquals(expected, parted, () -> "pieces " + pieces);
            }
        }
    }

    /** What the templates of published models write for calls is read back as these calls. */
    @Test
    void callsOfPublishedTemplatesAreReadBack() throws IOException {
        Path folder = Needs.shared("fixtures/chat-templates");
        Set<String> read = new TreeSet<>();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.filter(path -> path.toString().endsWith(".jinja"))
                    .sorted()
                    .toList()) {
                ToolCallFormat format =
                        ToolCallFormat.of(Files.readString(file)).orElse(null);
                if (format == null || format.beginnings().isEmpty()) {
                    continue; // GLM's templates write no calls, only what a message's metadata says
                }
                String name = file.getFileName().toString().replace(".jinja", "");
                for (JsonNode test : TestData.json(folder.resolve(name + ".json"))) {
                    int calls =
                            check(format, test, name + " " + test.path("name").asText());
                    if (calls > 0) {
                        read.add(name);
                    }
                }
            }
        }
        assertTrue(
                read.containsAll(Set.of(
                        "qwen3",
                        "qwen3-instruct-2507",
                        "qwq-32b",
                        "qwen2.5-instruct",
                        "qwen2.5-training-generation",
                        "hermes-3-tool-use",
                        "mistral-7b-instruct-v0.3",
                        "mistral-nemo-instruct-2407",
                        "deepseek-v3",
                        "deepseek-r1",
                        "kimi-k2",
                        "lfm2.5-generation",
                        "command-r-v01-tool-use",
                        "llama-3.1-8b-instruct",
                        "llama-3.2-3b-instruct")),
                "read back: " + read);
    }

    private static int check(ToolCallFormat format, JsonNode test, String what) {
        String text = test.path("expected").asText();
        int found = 0;
        int from = 0;
        for (JsonNode message : test.path("messages")) {
            List<Map<String, Object>> wanted = new ArrayList<>();
            List<String> names = new ArrayList<>();
            for (JsonNode call : message.path("tool_calls")) {
                JsonNode arguments = call.at("/function/arguments");
                arguments = arguments.isTextual() ? PlainValues.parse(arguments.textValue()) : arguments;
                if (arguments == null) {
                    return found;
                }
                wanted.add(PlainValues.object(arguments));
                names.add(call.at("/function/name").asText());
            }
            if (wanted.isEmpty()) {
                continue;
            }
            String answer = answer(format, text, names.get(0), from);
            if (answer == null) {
                continue;
            }
            from = text.indexOf(answer, from) + answer.length();
            AnswerParser parser = new AnswerParser(true, false, format, 0);
            List<AnswerParser.Part> parts = new ArrayList<>(parser.accept(answer));
            parts.addAll(parser.finish());
            assertEquals(List.of(), parts, what + ": " + answer);
            assertEquals(names, parser.calls().stream().map(ToolCall::name).toList(), what);
            assertEquals(
                    wanted.toString(),
                    parser.calls().stream().map(ToolCall::values).toList().toString(),
                    what);
            found += wanted.size();
        }
        return found;
    }

    /** The text of the calls behind the place: from the mark before the name to the token that ends the turn. */
    private static String answer(ToolCallFormat format, String text, String name, int from) {
        String begin = format == ToolCallFormat.LLAMA
                ? "{\"name\": \"" + name
                : format.beginnings().get(0);
        int at = text.indexOf(begin, from);
        while (at >= 0) {
            int end = end(text, at);
            String answer = text.substring(at, end).stripTrailing();
            if (answer.contains(name) && format.parse(answer) != null) {
                return answer;
            }
            at = text.indexOf(begin, at + 1);
        }
        return null;
    }

    private static int end(String text, int from) {
        int end = text.length();
        for (String mark : List.of(
                "<|im_end|>",
                "</s>",
                "<|eot_id|>",
                "<\uff5cend\u2581of\u2581sentence\uff5c>",
                "\n<|START_OF_TURN_TOKEN|>",
                "<|START_OF_TURN_TOKEN|>")) {
            int at = text.indexOf(mark, from);
            end = at >= 0 ? Math.min(end, at) : end;
        }
        return end;
    }
}
