package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

/** {@code GET /v1/models}: the base and its adapters. */
final class ModelsEndpoint {
    private final ServerSettings settings;
    private final long created = System.currentTimeMillis() / 1000;

    ModelsEndpoint(ServerSettings settings) {
        this.settings = settings;
    }

    ObjectNode list(ServedModel model) {
        ObjectNode list = JsonBody.MAPPER.createObjectNode().put("object", "list");
        ArrayNode data = list.putArray("data");
        data.add(entry(settings.modelName(), true));
        model.adapters().forEach(name -> data.add(entry(name, false)));
        return list;
    }

    /** @throws ApiException when there is none of the name */
    ObjectNode get(ServedModel model, String name) {
        boolean isBase = name.equals(settings.modelName());
        if (!isBase && !model.adapters().contains(name)) {
            throw ApiException.noModel(name);
        }
        return entry(name, isBase);
    }

    private ObjectNode entry(String name, boolean isBase) {
        return JsonBody.MAPPER
                .createObjectNode()
                .put("id", name)
                .put("object", "model")
                .put("created", created)
                .put("owned_by", "finetune4j")
                .put("root", settings.modelName())
                .put("parent", isBase ? null : settings.modelName());
    }
}
