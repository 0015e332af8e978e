package dev.finetune4j.examples.cli;

import dev.finetune4j.core.hub.HubModel;
import dev.finetune4j.core.hub.ModelSource;

/** The hubs, by the names that the command line and the setting {@code finetune4j.hub} have for them. */
enum HubName {
    HUGGINGFACE,
    MODELSCOPE;

    HubModel model(String id) {
        return this == HUGGINGFACE ? ModelSource.huggingFace(id) : ModelSource.modelScope(id);
    }
}
