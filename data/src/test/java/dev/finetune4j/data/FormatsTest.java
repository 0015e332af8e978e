package dev.finetune4j.data;

import static dev.finetune4j.data.Fixtures.fails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.data.DatasetFormat.Column;
import dev.finetune4j.data.DatasetFormat.Tag;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the columns of a row mean in each format. */
class FormatsTest {
    private static final String CALL = "{\"name\": \"add\", \"arguments\": {\"a\": 1}}";
    private static final Map<String, Object> ADD =
            Map.of("type", "function", "function", Map.of("name", "add", "arguments", Map.of("a", 1)));

    @TempDir
    private Path folder;

    private Path write(String text) throws IOException {
        return Files.writeString(folder.resolve("rows.json"), "[" + text.replace('\'', '"') + "]");
    }

    private Example only(String row) throws IOException {
        return only(row, DatasetFormat.auto());
    }

    private Example only(String row, DatasetFormat format) throws IOException {
        Dataset dataset = Dataset.read(write(row), format);
        assertEquals(1, dataset.size());
        return dataset.examples().get(0);
    }

    private static List<ChatMessage> messages(Example example) {
        return ((SftExample) example).conversation().messages();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{'instruction':'q','output':'a'}",
                "{'prompt':'q','completion':'a'}",
                "{'prompt':[{'role':'user','content':'q'}],'completion':[{'role':'assistant','content':'a'}]}",
                "{'messages':[{'role':'user','content':'q'},{'role':'assistant','content':'a'}]}",
                "{'conversations':[{'from':'human','value':'q'},{'from':'gpt','value':'a'}]}",
                "{'conversations':[{'role':'user','content':'q'},{'role':'assistant','content':'a'}]}",
                "{'messages':[{'role':'user','content':[{'type':'text','text':'q'}]},{'role':'assistant','content':'a'}]}",
                "{'messages':[{'role':'user','content':[{'type':'text','value':'q'}],'loss_weight':0.0},"
                        + "{'role':'assistant','content':[{'type':'text','value':'a'}],'loss_weight':1.0}]}",
                "{'messages':'[{\\'role\\':\\'user\\',\\'content\\':\\'q\\'},{\\'role\\':\\'assistant\\',\\'content\\':\\'a\\'}]'}",
            })
    void allFormatsSayTheSame(String row) throws IOException {
        assertEquals(List.of(ChatMessage.user("q"), ChatMessage.assistant("a")), messages(only(row)));
    }

    @Test
    void systemMessagesAndDevelopersStandFirst() throws IOException {
        Example example = only("{'system':'s','messages':[{'role':'developer','content':'d'},"
                + "{'role':'user','content':'q'},{'role':'assistant','content':'a'}]}");
        assertEquals(ChatMessage.system("s\n\nd"), messages(example).get(0));
        assertEquals(
                List.of("system/messages[0]", "messages[1]", "messages[2]"),
                example.where().fields());
        fails(
                () -> only("{'messages':[{'role':'user','content':'q'},{'role':'system','content':'d'}]}"),
                "\"messages[1]\" is a message of \"system\" after one of \"user\", but system messages must stand first");
    }

    @Test
    void callsOfFunctionsAreTheSameInBothStyles() throws IOException {
        String tools = "'tools':'[{\\'name\\':\\'add\\',\\'parameters\\':{}}]'";
        String quoted = CALL.replace("\"", "\\\"");
        Example shared = only("{'conversations':[{'from':'human','value':'q'},{'from':'function_call','value':'"
                + quoted + "'},{'from':'observation','value':'1'},{'from':'gpt','value':'a'}]," + tools + "}");
        Example open =
                only("{'messages':[{'role':'user','content':'q'},{'role':'assistant','content':null,'tool_calls':"
                        + "[{'function':{'name':'add','arguments':'{\\'a\\': 1}'}}]},"
                        + "{'role':'tool','content':'1'},{'role':'assistant','content':'a'}],"
                        + "'tools':[{'type':'function','function':{'name':'add','parameters':{}}}]}");
        assertEquals(
                ((SftExample) shared).conversation().tools(),
                ((SftExample) open).conversation().tools());
        for (Example example : List.of(shared, open)) {
            assertEquals("", messages(example).get(1).content());
            assertEquals(List.of(ADD), messages(example).get(1).fields().get("tool_calls"));
            assertEquals(ChatMessage.tool("1"), messages(example).get(2));
        }
    }

    @Test
    void pairsHaveAPromptOrShareOne() throws IOException {
        List<String> rows = List.of(
                "{'instruction':'q','input':'','chosen':'g','rejected':'b'}",
                "{'prompt':'q','chosen':'g','rejected':'b'}",
                "{'prompt':[{'role':'user','content':'q'}],'chosen':[{'role':'assistant','content':'g'}],"
                        + "'rejected':[{'role':'assistant','content':'b'}]}",
                "{'chosen':[{'role':'user','content':'q'},{'role':'assistant','content':'g'}],"
                        + "'rejected':[{'role':'user','content':'q'},{'role':'assistant','content':'b'}]}",
                "{'conversations':[{'from':'human','value':'q'}],'chosen':{'from':'gpt','value':'g'},"
                        + "'rejected':{'from':'gpt','value':'b'}}");
        for (String row : rows) {
            PreferenceExample pair = assertInstanceOf(PreferenceExample.class, only(row), row);
            assertEquals(List.of("q", "g", "b"), pair.texts(), row);
        }
        fails(() -> only("{'chosen':'Human: q Assistant: g','rejected':'b'}"), "a prompt");
        fails(
                () -> only("{'chosen':[{'role':'user','content':'q'}],'rejected':[{'role':'user','content':'q'}]}"),
                "0 messages");
    }

    @Test
    void answersAreJudgedByTruthValues() throws IOException {
        for (String row : List.of(
                "{'instruction':'q','output':'a','kto_tag':false}",
                "{'prompt':'q','completion':'a','label':false}",
                "{'messages':[{'role':'user','content':'q'},{'role':'assistant','content':'a'}],'label':'False'}",
                "{'messages':[{'role':'user','content':'q'},{'role':'assistant','content':'a'}],'kto_tag':0}")) {
            assertEquals(
                    false, assertInstanceOf(KtoExample.class, only(row), row).desirable());
        }
        assertInstanceOf(SftExample.class, only("{'prompt':'q','completion':'a','label':'biology'}"));
        fails(
                () -> only("{'instruction':'q','output':'a','kto_tag':'good'}"),
                "\"kto_tag\" is a string, expected true");
    }

    @Test
    void textsAreLearnedAsTheyStand() throws IOException {
        assertEquals(
                List.of(" t "),
                assertInstanceOf(TextExample.class, only("{'text':' t ','url':'u'}"))
                        .texts());
        DatasetFormat format = DatasetFormat.text().with(Column.TEXT, "body");
        assertEquals(List.of("t"), only("{'body':'t'}", format).texts());
        fails(() -> only("{'text':' '}"), "\"text\" is blank");
    }

    @Test
    void namesMayBeOthers() throws IOException {
        DatasetFormat alpaca =
                DatasetFormat.alpaca().with(Column.PROMPT, "frage").with(Column.RESPONSE, "antwort");
        assertEquals(
                List.of("q", "a"), only("{'frage':'q','antwort':'a'}", alpaca).texts());
        DatasetFormat messages = DatasetFormat.messages()
                .with(Column.MESSAGES, "dialog")
                .with(Tag.ROLE, "who")
                .with(Tag.CONTENT, "said")
                .with(Tag.USER, "customer")
                .with(Tag.ASSISTANT, "agent");
        assertEquals(
                List.of("q", "a"),
                only("{'dialog':[{'who':'customer','said':'q'},{'who':'agent','said':'a'}]}", messages)
                        .texts());
        fails(
                () -> only("{'dialog':[{'who':'user','said':'q'}]}", messages),
                "\"user\", which is no role",
                "\"customer\"");
    }

    @Test
    void lossWeightsSayWhichAnswersAreLearned() throws IOException {
        SftExample example = (SftExample) only("{'messages':[{'role':'user','content':'q'},"
                + "{'role':'assistant','content':'a','loss_weight':0},{'role':'user','content':'r'},"
                + "{'role':'assistant','content':'b','loss_weight':1}]}");
        assertEquals(List.of(0.0, 0.0, 0.0, 1.0), example.lossWeights());
        String row = "{'messages':[{'role':'user','content':'q'},{'role':'assistant','content':'a','loss_weight':%s}]}";
        assertEquals(List.of(0.0, 0.5), ((SftExample) only(row.formatted("0.5"))).lossWeights());
        fails(() -> only(row.formatted("-1")), "expected 0 or more");
    }

    @Test
    void whatCannotBeTrainedIsNamed() throws IOException {
        fails(
                () -> only("{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{}}]},"
                        + "{'role':'assistant','content':'a'}]}"),
                "\"messages[0].content[0]\" is a part of the type \"image_url\"");
        fails(() -> only("{'input_ids':[1,2]}"), "which looks like tokens");
        fails(() -> only("{'messages':[]}"), "an array of 0, expected a list of messages");
        fails(() -> only("{'messages':[7]}"), "\"messages[0]\" is a number (7), expected a message");
        fails(
                () -> only("{'messages':[{'role':'user','content':'q'},{'role':'assistant','content':' '}]}"),
                "\"messages[1].content\" is blank");
        fails(
                () -> only(
                        "{'conversations':[{'from':'human','value':'q'},{'from':'function_call','value':'add(1)'}]}"),
                "\"conversations[1].value\" is a text that should be JSON");
    }

    @Test
    void aDescriptionIsFollowed() throws IOException {
        write("{'q':'x','a':'y'},{'q':'x2','a':'y2'}");
        Path info = Files.writeString(folder.resolve("dataset_info.json"), """
            {"mine": {"file_name": "rows.json", "num_samples": 1, "columns": {"prompt": "q", "response": "a"}},
             "typo": {"file_name": "rows.json", "format": "alpaca", "columns": {"promt": "q"}, "tags": {"user_tags": "u"}},
             "hub": {"hf_hub_url": "someone/something"},
             "pairs": {"file_name": "rows.json", "ranking": true, "columns": {"prompt": "q"}},
             "texts": {"file_name": "rows.json", "columns": {"prompt": "q"}}}
            """);
        assertEquals(
                List.of(List.of("x", "y")),
                Dataset.named(info, "mine").examples().stream()
                        .map(Example::texts)
                        .toList());
        assertInstanceOf(
                TextExample.class, Dataset.named(folder, "texts").examples().get(0));
        DatasetException typo = fails(
                () -> Dataset.named(folder, "typo"),
                "entry \"typo\": \"format\" is no key of an entry, did you mean \"formatting\"?",
                "\"columns.promt\" is no key of an entry, did you mean \"prompt\"?",
                "\"tags.user_tags\"",
                "did you mean \"user_tag\"?");
        assertEquals(3, typo.count());
        fails(
                () -> Dataset.named(folder, "hub"),
                "\"hf_hub_url\" names a data set that has to be fetched (someone/something)");
        fails(() -> Dataset.named(folder, "pairs"), "\"ranking\" is true", "\"chosen\"", "\"rejected\"");
        fails(() -> Dataset.named(folder, "mines"), "no data set \"mines\", did you mean \"mine\"?");
        assertTrue(fails(() -> Dataset.named(folder.resolve("none.json"), "x"))
                .getMessage()
                .contains("none.json"));
    }
}
