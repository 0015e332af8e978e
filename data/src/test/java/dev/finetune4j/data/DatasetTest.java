package dev.finetune4j.data;

import static dev.finetune4j.data.Fixtures.contents;
import static dev.finetune4j.data.Fixtures.fails;
import static dev.finetune4j.data.Fixtures.numbered;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Examples in memory: placeholders, splitting, and what an example may be. */
class DatasetTest {
    private static Dataset answers(String... answers) {
        return Dataset.of(Stream.of(answers).map(answer -> SftExample.of("q", answer)));
    }

    private static String answer(Dataset dataset, int row) {
        return contents(dataset.examples().get(row)).get(1);
    }

    @Test
    void fieldsAndToolsStayBesideReplacedPlaceholders() {
        Map<String, @Nullable Object> fields = Map.of("reasoning_content", "thought");
        List<Map<String, @Nullable Object>> tools = List.of(Map.of("name", "weather"));
        Conversation conversation = new Conversation(
                List.of(ChatMessage.user("q"), new ChatMessage(Role.ASSISTANT, "I am {{name}}.", fields)), tools);
        Dataset dataset = Dataset.of(List.of(SftExample.of(conversation))).bind(Map.of("name", "Zed"));
        assertEquals(
                new Conversation(
                        List.of(ChatMessage.user("q"), new ChatMessage(Role.ASSISTANT, "I am Zed.", fields)), tools),
                ((SftExample) dataset.examples().get(0)).conversation());
    }

    @Test
    void aSystemMessageIsAddedWhereThereIsNone() {
        Conversation own =
                Conversation.of(ChatMessage.system("own"), ChatMessage.user("q"), ChatMessage.assistant("{{name}}"));
        SftExample weighted = new SftExample(
                Conversation.of(ChatMessage.user("q"), ChatMessage.assistant("a")),
                List.of(0.0, 1.0),
                new Provenance("f", 3, List.of("instruction", "output")));
        TextExample text = new TextExample("t", Provenance.inMemory(0));
        Dataset rows = Dataset.of(List.of(
                        SftExample.of(own),
                        weighted,
                        PreferenceExample.of("q", "better", "worse"),
                        KtoExample.of("q", "good", true),
                        text))
                .bind(Map.of("name", "Zed"))
                .withSystem("I am {{name}}.");
        rows.requireReady();
        List<Example> examples = rows.examples();
        assertEquals(List.of("own", "q", "Zed"), contents(examples.get(0)));
        assertEquals(List.of("I am Zed.", "q", "a"), contents(examples.get(1)));
        assertEquals(List.of(0.0, 0.0, 1.0), ((SftExample) examples.get(1)).lossWeights());
        assertEquals("field \"output\"", examples.get(1).describe(2));
        assertEquals(List.of("I am Zed.", "q", "better", "worse"), contents(examples.get(2)));
        assertEquals(List.of("I am Zed.", "q", "good"), contents(examples.get(3)));
        assertEquals(List.of("t"), contents(examples.get(4)));
        assertThrows(IllegalArgumentException.class, () -> rows.withSystem(" "));
        fails(answers("a").withSystem("{{who}}")::requireReady, "{{who}}");
    }

    @Test
    void thoughtsAreTakenOutOfAnswers() {
        Map<String, @Nullable Object> fields = Map.of("reasoning_content", "hm", "name", "n");
        Conversation conversation = Conversation.of(
                ChatMessage.user("<think>mine</think> q"),
                ChatMessage.assistant("\n<think>\nhm\nhm\n</think>\n\none <think> is a mark</think>"),
                ChatMessage.user("q"),
                new ChatMessage(Role.ASSISTANT, "two", fields));
        SftExample changed = (SftExample) Dataset.of(List.of(SftExample.of(conversation)))
                .withoutThoughts()
                .examples()
                .get(0);
        assertEquals(List.of("<think>mine</think> q", "one <think> is a mark</think>", "q", "two"), contents(changed));
        assertEquals(
                Map.of("name", "n"), changed.conversation().messages().get(3).fields());
        PreferenceExample pair = PreferenceExample.of("q", "<think>x</think>better", "<think>y</think>worse");
        assertEquals(
                List.of("q", "better", "worse"),
                contents(Dataset.of(List.of(pair)).withoutThoughts().examples().get(0)));
        DatasetException failure = fails(
                () -> answers("<think>x</think>", "a", "<think>y</think> ").withoutThoughts(),
                "row 0: once thoughts are taken out of the answers, message 1 is the answer to learn, but it is blank",
                "row 2");
        assertEquals(2, failure.count());
        Dataset plain = answers("a");
        assertSame(plain.examples().get(0), plain.withoutThoughts().examples().get(0));
    }

    @Test
    void templatesGetTheVariablesOfRows() {
        Example pair = Dataset.of(List.of(PreferenceExample.of("q", "a", "b")))
                .withTemplateVariable("enable_thinking", true)
                .withTemplateVariable("enable_thinking", false)
                .examples()
                .get(0);
        assertEquals(
                Map.of("enable_thinking", false),
                ((PreferenceExample) pair).prompt().templateVariables());
        assertThrows(IllegalArgumentException.class, () -> answers("a").withTemplateVariable("messages", 1));
    }

    @Test
    void placeholdersAreReplacedInOnePass() {
        Dataset bound = answers("{{a}} {{b}} {{a}}").bind(Map.of("a", "{{b}}", "b", "{{a}} $1 \\x"));
        assertEquals("{{b}} {{a}} $1 \\x {{b}}", answer(bound, 0));
        bound.requireReady();
    }

    @Test
    void valuesAreNotSearchedLaterEither() {
        Dataset bound = answers("{{a}}{{b}}").bind(Map.of("a", "{{b}}")).bind(Map.of("b", "x"));
        assertEquals("{{b}}x", answer(bound, 0));
        bound.requireReady();
        Dataset literal = answers("\\frac{{x}}").bind(Map.of("x", "{{x}}"));
        assertEquals("\\frac{{x}}", answer(literal, 0));
        literal.requireReady();
        Dataset pending = answers("{{a}}").bind(Map.of("a", "{{other}}"));
        pending.requireReady();
        fails(() -> pending.bind(Map.of("other", "x")), "{{other}}", "occurs in no row");
    }

    @Test
    void allMessagesAreSearched() {
        Conversation conversation = Conversation.of(
                ChatMessage.system("{{x}}1"), ChatMessage.user("{{x}}2"), ChatMessage.assistant("{{x}}3"));
        Dataset bound = Dataset.of(List.of(SftExample.of(conversation))).bind(Map.of("x", "v"));
        assertEquals(List.of("v1", "v2", "v3"), contents(bound.examples().get(0)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"a", "_", "first_name", "first-name", "user.name", "名字", "x1", "É"})
    void theseAreNames(String name) {
        fails(answers("{{" + name + "}}")::requireReady, "{{" + name + "}}", ".placeholder(\"" + name + "\", \"…\")");
        assertEquals("[v]", answer(answers("[{{" + name + "}}]").bind(Map.of(name, "v")), 0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"{{ a }}", "{a}", "{{1}}", "{{a b}}", "{{}}", "{{a}", "{ {a}}", "{{a|b}}", "{{-a}}", "{{"})
    void theseAreOrdinaryText(String text) {
        Dataset dataset = answers(text);
        dataset.requireReady();
        assertEquals(text, answer(dataset, 0));
    }

    @Test
    void unboundPlaceholdersAreReportedOnceForEachSource() {
        Dataset dataset = Dataset.of(
                Stream.of("{{a}}{{a}}", "x", "{{b}}", "{{a}}", "{{a}}").map(text -> SftExample.of("q", text)));
        DatasetException failure = fails(
                dataset::requireReady,
                "in-memory examples, row 0: message 1 (assistant) holds the placeholder {{a}}, which has no value"
                        + " (nor in 2 more rows); give it one with .placeholder(\"a\", \"…\")",
                "in-memory examples, row 2: message 1 (assistant) holds the placeholder {{b}}, which has no value;"
                        + " give");
        assertEquals(2, failure.count());
        assertEquals(
                1, fails(dataset.bind(Map.of("a", "x"))::requireReady, "{{b}}").count());
    }

    @Test
    void theFieldOfAFileIsNamed(@TempDir Path folder) throws IOException {
        Path file = Files.writeString(
                folder.resolve("x.json"),
                "[{\"system\": \"{{s}}\", \"instruction\": \"{{i}}\", \"output\": \"a\", \"history\": [[\"x\","
                        + " \"{{h}}\"]]}]");
        DatasetException failure = fails(
                Dataset.read(file)::requireReady,
                file + ", row 0: field \"system\" holds the placeholder {{s}}",
                "field \"instruction\" holds the placeholder {{i}}",
                "field \"history[0][1]\" holds the placeholder {{h}}");
        assertEquals("system", failure.problems().get(0).field());
    }

    @Test
    void aValueForWhatOccursNowhereIsATypo() {
        Dataset dataset = answers("{{name}} {{author}}");
        DatasetException failure = fails(
                () -> dataset.bind(Map.of("nmae", "x", "name", "y", "autor", "z")),
                "{{nmae}}, which occurs in no row",
                "{{autor}}",
                "the data has {{name}}, {{author}}, check the spelling");
        assertEquals(2, failure.count());
        fails(() -> answers("x").bind(Map.of("a", "b")), "there are no placeholders in the data");
    }

    @Test
    void aNameHasOneValue() {
        Dataset bound = answers("{{a}}").bind(Map.of("a", "x"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> bound.bind(Map.of("a", "y")))
                .getMessage()
                .contains("{{a}}"));
        assertSame(bound, bound.bind(Map.of()));
    }

    @Test
    void anAnswerMayNotBecomeBlank() {
        fails(() -> answers("x", "{{a}}").bind(Map.of("a", " ")), "row 1: once placeholders", "blank");
        assertEquals("x", answer(answers("x{{a}}").bind(Map.of("a", "")), 0));
    }

    @Test
    void bindingLeavesTheOriginalAlone() {
        Dataset dataset = answers("{{a}}", "plain");
        Dataset bound = dataset.bind(Map.of("a", "x"));
        assertEquals("{{a}}", answer(dataset, 0));
        assertSame(dataset.examples().get(1), bound.examples().get(1));
        assertThrows(UnsupportedOperationException.class, () -> bound.examples().remove(0));
    }

    @Test
    void partsKeepTheirValues() {
        Dataset bound = answers("{{a}}1", "{{a}}2", "{{a}}3").bind(Map.of("a", "x"));
        bound.limit(1).requireReady();
        Dataset.Split split = bound.split(0.5, 1);
        split.train().requireReady();
        split.heldOut().requireReady();
        Dataset unbound = answers("plain", "{{a}}");
        unbound.limit(1).requireReady();
        fails(() -> unbound.limit(1).bind(Map.of("a", "x")), "there are no placeholders");
        fails(unbound::requireReady, "row 1", "{{a}}");
    }

    @Test
    void inMemoryExamplesAreNumbered() {
        List<Example> examples = new ArrayList<>(numbered(3).examples());
        assertEquals(2, examples.get(2).where().row());
        SftExample placed = ((SftExample) examples.get(0)).at(new Provenance("mine", 7));
        examples.add(placed);
        Dataset dataset = Dataset.of(examples);
        assertEquals(placed, dataset.examples().get(3));
        examples.clear();
        assertEquals(4, dataset.size());
        assertEquals("Dataset[4 examples]", dataset.toString());
    }

    @Test
    void anEmptyDatasetCannotBeTrainedOn() {
        fails(Dataset.of(List.of())::requireReady, "there is no example");
    }

    @Test
    void limitTakesTheFirst() {
        Dataset dataset = numbered(5);
        assertEquals(dataset.examples().subList(0, 2), dataset.limit(2).examples());
        assertSame(dataset, dataset.limit(5));
        assertSame(dataset, dataset.limit(6));
        assertThrows(IllegalArgumentException.class, () -> dataset.limit(0));
    }

    @ParameterizedTest
    @CsvSource({"10,0.1,1", "10,0.25,3", "10,0.001,1", "10,0.999,9", "2,0.5,1", "3,0.1,1", "100,0.29,29"})
    void splitTakesEachExampleOnce(int size, double fraction, int held) {
        Dataset dataset = numbered(size);
        Dataset.Split split = dataset.split(fraction, 42);
        assertEquals(held, split.heldOut().size());
        Set<Long> rows = new TreeSet<>();
        for (Dataset part : List.of(split.train(), split.heldOut())) {
            List<Long> places =
                    part.examples().stream().map(e -> e.where().row()).toList();
            assertEquals(places.stream().sorted().toList(), places, "in the order of the whole");
            rows.addAll(places);
        }
        assertEquals(size, rows.size());
        assertEquals(
                split.heldOut().examples(),
                dataset.split(fraction, 42).heldOut().examples());
    }

    @Test
    void anotherSeedHoldsOutOthers() {
        Dataset dataset = numbered(100);
        assertNotEquals(
                dataset.split(0.1, 1).heldOut().examples(),
                dataset.split(0.1, 2).heldOut().examples());
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, 1, -0.1, 1.5, Double.NaN})
    void aFractionOutOfRange(double fraction) {
        assertThrows(IllegalArgumentException.class, () -> numbered(5).split(fraction, 1));
    }

    @Test
    void oneExampleCannotBeSplit() {
        assertThrows(IllegalArgumentException.class, () -> numbered(1).split(0.5, 1));
    }

    @Test
    void anExampleEndsWithAnAnswer() {
        assertThrows(IllegalArgumentException.class, () -> SftExample.of("q", " \n"));
        IllegalArgumentException failure = assertThrows(
                IllegalArgumentException.class, () -> SftExample.of(Conversation.of(ChatMessage.user("q"))));
        assertTrue(failure.getMessage().contains("must end with an assistant message"), failure.getMessage());
        assertThrows(IllegalArgumentException.class, () -> new Provenance("x", -1));
        assertFalse(new Provenance("x", 0).isInMemory());
    }

    @Test
    void whatSaysTheSameStaysOnOneSideOfASplit() {
        List<Example> examples = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            examples.add(SftExample.of("q" + i % 20, "a"));
        }
        for (int seed = 0; seed < 20; seed++) {
            Dataset.Split split = Dataset.of(examples).split(0.2, seed);
            assertEquals(60, split.train().size() + split.heldOut().size());
            assertEquals(12, split.heldOut().size(), "whole groups of three");
            Set<List<String>> held =
                    split.heldOut().examples().stream().map(Example::texts).collect(Collectors.toSet());
            assertTrue(split.train().examples().stream().noneMatch(example -> held.contains(example.texts())));
        }
        Dataset alike = Dataset.of(List.of(SftExample.of("q", "a"), SftExample.of("q", "a")));
        assertThrows(IllegalArgumentException.class, () -> alike.split(0.5, 1));
    }

    @Test
    void aMixGivesEachSourceItsShare() {
        Dataset many = numbered(90);
        Dataset few = Dataset.of(List.of(SftExample.of("x", "1"), SftExample.of("y", "2")));
        Map<Dataset, Double> shares = new LinkedHashMap<>();
        shares.put(many, 0.9);
        shares.put(few, 0.1);
        Dataset mix = Dataset.mix(shares, 5);
        assertEquals(100, mix.size());
        assertEquals(90, mix.limit(90).examples().stream().distinct().count(), "none of the larger source is left out");
        assertEquals(
                5,
                mix.examples().stream()
                        .filter(e -> e.texts().get(0).equals("x"))
                        .count());
        assertEquals(45, many.repeated(0.5, 1).examples().stream().distinct().count());
        assertEquals(many.repeated(0.5, 1).examples(), many.repeated(0.5, 1).examples());
        assertThrows(IllegalArgumentException.class, () -> many.repeated(0, 1));
        assertThrows(IllegalArgumentException.class, () -> Dataset.mix(Map.of(many, -1.0), 1));
    }

    @Test
    void dataSetsStandOneAfterTheOther() {
        Dataset named = answers("I am {{name}}.").bind(Map.of("name", "Aria"));
        Dataset both = Dataset.concat(answers("{{name}} it is."), named);
        assertEquals(List.of("Aria it is.", "I am Aria."), List.of(answer(both, 0), answer(both, 1)));
        both.requireReady();
        Dataset other = answers("I am {{name}}.").bind(Map.of("name", "Max"));
        assertThrows(IllegalArgumentException.class, () -> Dataset.concat(named, other));
        assertThrows(IllegalArgumentException.class, () -> Dataset.concat());
    }
}
