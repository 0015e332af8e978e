package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Base64;
import java.util.Collections;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What would end the whole process in the native library is refused before, and what published tokenizers have is not. */
class NativeAssumptionsTest {
    private static final String TEMPLATE =
            "{'post_processor':{'type':'TemplateProcessing','single':[%s],'pair':[],'special_tokens':{'<s>':{}}}}";

    private static JsonNode json(String text) throws JsonProcessingException {
        return new ObjectMapper().readTree(text.replace('\'', '"'));
    }

    private static void refused(String definition, String named) throws JsonProcessingException {
        JsonNode tree = json(definition);
        String message = assertThrows(IllegalArgumentException.class, () -> NativeAssumptions.check(tree))
                .getMessage();
        assertTrue(message.contains(named), message);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "{\"decoder\":{\"x\":1e400}}; \"x\"",
                "{\"normalizer\":7}; \"normalizer\"",
                "{\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"\"}}; prepends nothing",
                "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"}}}; no character",
                "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a*|b\"}}}; no character",
                "{\"normalizer\":{\"normalizers\":[{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"$\"}}]}}; no character",
                "{\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":0,\"stop\":1}}; strips 1",
                "{\"model\":{\"continuing_subword_prefix\":\"##\",\"merges\":[\"a ##b\",\"a b\"]}}; \"a b\"",
                "{\"model\":{\"continuing_subword_prefix\":\"##\",\"merges\":[[\"a\",\"b\"]]}}; prefix",
                "{\"post_processor\":{\"processors\":[{\"type\":\"TemplateProcessing\"},{\"type\":\"BertProcessing\"}]}};"
                        + "more than once",
                "{\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":0}}; pieces of 0",
                "{\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"a\",4294967295]}}; 4294967295",
                "{\"post_processor\":{\"special_tokens\":{\"a\":{\"ids\":[3000000000]}}}}; 3000000000",
                "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"A\"}}; Base64",
                "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"\"}}; 0 bytes",
                "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":{}}}; no text",
                "{\"normalizer\":{\"type\":\"Precompiled\"}}; no text",
                "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAAAA\"}}; padding",
                "{\"decoder\":{\"type\":\"Fuse\",\"precompiled_charsmap\":\"AAAA\"}}; 3 bytes"
            })
    void namesWhatIsWrong(String definition, String named) throws JsonProcessingException {
        refused(definition, named.trim());
    }

    @Test
    void templatesNeedTheirTokensAndOneText() throws JsonProcessingException {
        refused(TEMPLATE.formatted("{'SpecialToken':{'id':'</s>','type_id':0}}"), "\"</s>\"");
        refused(TEMPLATE.formatted("{'Sequence':{'id':'B','type_id':0}}"), "second text");
        JsonNode right = json(TEMPLATE.formatted("{'SpecialToken':{'id':'<s>'}},{'Sequence':{'id':'A'}}"));
        assertDoesNotThrow(() -> NativeAssumptions.check(right));
    }

    @Test
    void depth() throws JsonProcessingException {
        refused("{'decoder':{'a':" + "[".repeat(120) + "]".repeat(120) + "}}", "100 deep");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{'normalizer':null,'decoder':null}",
                "{'normalizer':{'type':'Prepend','prepend':'_'}}",
                "{'normalizer':{'type':'Replace','pattern':{'Regex':' {2,}'},'content':'_'}}",
                "{'normalizer':{'type':'Replace','pattern':{'Regex':'(?<=a)b+(?=c)|d{1,3}'},'content':''}}",
                "{'pre_tokenizer':{'type':'Split','pattern':{'Regex':'(?=a)'}}}",
                "{'decoder':{'type':'Strip','content':' ','start':1,'stop':0}}",
                "{'post_processor':{'processors':[{'type':'ByteLevel'},{'type':'TemplateProcessing'}]}}",
                "{'model':{'continuing_subword_prefix':'','merges':['a b']}}"
            })
    void whatPublishedTokenizersHave(String definition) throws JsonProcessingException {
        JsonNode right = json(definition);
        assertDoesNotThrow(() -> NativeAssumptions.check(right));
    }

    /** A table whose root leads with the letter a to a text; {@code base} is where the root's steps begin. */
    private static String table(int base, int text) {
        return table(base, text, new byte[] {'b', (byte) 0xc3, (byte) 0xa9});
    }

    private static String table(int base, int text, byte[] texts) {
        ByteBuffer bytes = ByteBuffer.allocate(4 + 4 * 512 + 3).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putInt(4 * 512);
        bytes.putInt(base << 10);
        for (int i = 1; i < 512; i++) {
            bytes.putInt(i == (base ^ 'a') ? 1 << 10 | 1 << 8 | 'a' : i == (base ^ 'a' ^ 1) ? 1 << 31 | text : 1 << 31);
        }
        bytes.put(texts);
        return "{'normalizer':{'type':'Precompiled','precompiled_charsmap':'"
                + Base64.getEncoder().encodeToString(bytes.array()) + "'}}";
    }

    @Test
    void tablesOfCharactersStayInside() throws JsonProcessingException {
        JsonNode right = json(table(256, 1));
        assertDoesNotThrow(() -> NativeAssumptions.check(right));
        refused(table(512, 0), "entry 0");
        refused(table(256, 3), "out of the table");
        refused(table(256, 2), "out of the table");
        refused(table(256, 0, new byte[] {'b', (byte) 0xc3, 'c'}), "no UTF-8");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "{'type':'Strip','strip_left':true,'strip_right':false}; true; true",
                "{'type':'Strip','strip_left':true,'strip_right':false}; false; false",
                "{'type':'NFKC'}; true; false",
                "{'type':'Replace','pattern':{'Regex':'\\\\s+'},'content':''}; true; true",
                "{'type':'Replace','pattern':{'String':' '},'content':'_'}; true; false",
                "{'type':'Sequence','normalizers':[{'type':'NFD'},{'type':'BertNormalizer'}]}; true; true"
            },
            quoteCharacter = '`')
    void theNormalizerLeavesSomethingOfEachAddedToken(String normalizer, boolean normalized, boolean refused)
            throws JsonProcessingException {
        JsonNode definition = json("{'normalizer':" + normalizer + ",'added_tokens':[{'content':'  ','normalized':"
                + normalized + "},{'content':'<x>','normalized':true}]}");
        if (refused) {
            assertThrows(IllegalArgumentException.class, () -> VanishingTokens.check(definition));
        } else {
            assertDoesNotThrow(() -> VanishingTokens.check(definition));
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "{\"type\":\"Sequence\",\"normalizers\":[%s]};{\"type\":\"ByteLevel\"}; 8",
                "{\"type\":\"Sequence\",\"normalizers\":[%s]};"
                        + "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaaaaaaaa\"}; 3"
            })
    void noSequenceOfStepsMakesATextGrowWithoutEnd(String sequence, String step, int times)
            throws JsonProcessingException {
        JsonNode few = json("{\"normalizer\":" + sequence.formatted(step) + "}");
        assertDoesNotThrow(() -> DefinitionLimits.check(few));
        String steps = String.join(",", Collections.nCopies(times, step));
        JsonNode many = json("{\"normalizer\":" + sequence.formatted(steps) + "}");
        String message = assertThrows(IllegalArgumentException.class, () -> DefinitionLimits.check(many))
                .getMessage();
        assertTrue(message.contains("times as long"), message);
    }
}
