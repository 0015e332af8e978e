package dev.finetune4j.lora.export.gguf;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** The tokens of a model by id, one for each row of its embedding, and what each is for. */
final class TokenList {
    static final int NORMAL = 1;
    static final int UNKNOWN = 2;
    static final int CONTROL = 3;
    static final int USER_DEFINED = 4;
    static final int UNUSED = 5;
    static final int BYTE = 6;

    private static final Pattern BYTE_TEXT = Pattern.compile("<0x[0-9A-Fa-f]{2}>");

    private final List<String> texts = new ArrayList<>();
    private final int[] types;

    /**
     * @param definition a tokenizer.json
     * @param rows of the embedding; those that no token has are padding
     */
    TokenList(JsonNode definition, int rows) {
        this.types = new int[rows];
        Arrays.fill(types, UNUSED);
        for (int i = 0; i < rows; i++) {
            texts.add("[PAD" + i + "]");
        }
        JsonNode model = definition.path("model");
        boolean bytes = model.path("byte_fallback").asBoolean();
        for (Map.Entry<String, JsonNode> token : model.path("vocab").properties()) {
            boolean isByte = bytes && BYTE_TEXT.matcher(token.getKey()).matches();
            set(token.getValue().intValue(), token.getKey(), isByte ? BYTE : NORMAL);
        }
        for (JsonNode token : definition.path("added_tokens")) {
            boolean special = token.path("special").asBoolean();
            set(token.path("id").intValue(), token.path("content").asText(), special ? CONTROL : USER_DEFINED);
        }
        JsonNode unknown = model.path("vocab").path(model.path("unk_token").asText(""));
        if (unknown.isInt()) {
            types[unknown.intValue()] = UNKNOWN;
        }
    }

    private void set(int id, String text, int type) {
        if (id < types.length) {
            texts.set(id, text);
            types[id] = type;
        }
    }

    /** The texts by id. */
    List<String> texts() {
        return texts;
    }

    /** What each token is for, in llama.cpp's numbers. */
    int[] types() {
        return types;
    }
}
