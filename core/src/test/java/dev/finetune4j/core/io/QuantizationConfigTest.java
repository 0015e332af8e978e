package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ModelFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Which packed forms a config.json may announce. */
class QuantizationConfigTest {
    @TempDir
    private Path folder;

    private ModelFiles open(String config) throws IOException {
        Files.writeString(folder.resolve("config.json"), config.replace('\'', '"'));
        return ModelFiles.open(folder);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{'quant_method':'bitsandbytes','load_in_4bit':true,'_load_in_4bit':true,'load_in_8bit':false}",
                "{'load_in_4bit':true}",
                "{'quant_method':'bitsandbytes','load_in_4bit':true,'bnb_4bit_quant_type':'nf4',"
                        + "'bnb_4bit_use_double_quant':true,'bnb_4bit_quant_storage':'bfloat16',"
                        + "'bnb_4bit_compute_dtype':'bfloat16','llm_int8_skip_modules':['lm_head','model.layers.0'],"
                        + "'llm_int8_threshold':6.0}",
                "{'quant_method':'bitsandbytes','load_in_4bit':true,'bnb_4bit_quant_type':'fp4',"
                        + "'llm_int8_skip_modules':null}"
            })
    void fourBit(String config) throws IOException {
        assertTrue(open("{'quantization_config':" + config + "}").isFourBit());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{}",
                "{'quantization_config':null}",
                "{'quantization_config':{'quant_method':'bitsandbytes','load_in_4bit':false,'load_in_8bit':false}}"
            })
    void dense(String config) throws IOException {
        assertEquals(false, open(config).isFourBit());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{'quant_method':'gptq','bits':4}                                    | packed as gptq",
                "{'quant_method':'awq','bits':4}                                     | packed as awq",
                "{'quant_method':'fp8','weight_block_size':[128,128]}                | packed as fp8",
                "{'quant_method':'mxfp4'}                                            | packed as mxfp4",
                "{'quant_method':'compressed-tensors'}                               | packed as compressed-tensors",
                "{'quant_method':'bitsandbytes','load_in_8bit':true}                 | 8 bit (load_in_8bit)",
                "{'load_in_8bit':true}                                               | 8 bit (load_in_8bit)",
                "{'load_in_8bit':true,'load_in_4bit':true}                           | one form",
                "{}                                                                  | \"quant_method\" is absent",
                "{'quant_method':7}                                                  | \"quant_method\" is 7",
                "[]                                                                  | expected an object",
                "'nf4'                                                               | expected an object",
                "{'quant_method':'bitsandbytes','load_in_4bit':'yes'}                | \"load_in_4bit\" is \"yes\"",
                "{'load_in_4bit':true,'bnb_4bit_quant_type':'int4'}                  | \"int4\", expected fp4 or nf4",
                "{'load_in_4bit':true,'bnb_4bit_quant_storage':'int32'}              | bnb_4bit_quant_storage",
                "{'load_in_4bit':true,'llm_int8_skip_modules':'lm_head'}             | llm_int8_skip_modules",
                "{'load_in_4bit':true,'llm_int8_skip_modules':[1]}                   | llm_int8_skip_modules",
                "{'load_in_4bit':true,'bnb_4bit_use_double_quant':1}                 | bnb_4bit_use_double_quant"
            })
    void refused(String config, String expected) {
        String message = assertThrows(ModelFileException.class, () -> open("{'quantization_config':" + config + "}"))
                .getMessage();
        assertTrue(message.contains("config.json") && message.contains(expected), message);
    }

    @ParameterizedTest
    @ValueSource(strings = {"{'compression_config':{'format':'pack-quantized'}}"})
    void refusedUnderItsOtherName(String config) {
        String message =
                assertThrows(ModelFileException.class, () -> open(config)).getMessage();
        assertTrue(message.contains("compressed-tensors"), message);
    }
}
