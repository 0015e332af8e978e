/**
 * Tensors, model families, checkpoint files, text and generation.
 *
 * <p>What applications use is exported to all; the rest is exported to the other modules of the library only. The natives
 * of a platform are modules of their own that nothing requires: a program on the module path adds them with
 * {@code --add-modules ALL-MODULE-PATH}.
 */
@SuppressWarnings("module") // The modules that qualified exports name are compiled after this one.
module dev.finetune4j.core {
    requires static transitive org.jspecify;
    requires java.net.http;
    requires com.fasterxml.jackson.databind;
    requires org.slf4j;
    requires org.bytedeco.javacpp;
    requires org.bytedeco.openblas;
    requires org.bytedeco.pytorch;
    requires org.bytedeco.cuda;
    requires ai.djl.api;
    requires ai.djl.tokenizers;

    exports dev.finetune4j.core;
    exports dev.finetune4j.core.generate;
    exports dev.finetune4j.core.hub;
    exports dev.finetune4j.core.text;
    exports dev.finetune4j.core.autograd to
            dev.finetune4j.quant,
            dev.finetune4j;
    exports dev.finetune4j.core.collective to
            dev.finetune4j;
    exports dev.finetune4j.core.inference to
            dev.finetune4j;
    exports dev.finetune4j.core.io to
            dev.finetune4j.quant,
            dev.finetune4j;
    exports dev.finetune4j.core.json to
            dev.finetune4j.quant,
            dev.finetune4j.data,
            dev.finetune4j;
    exports dev.finetune4j.core.kernel to
            dev.finetune4j.quant,
            dev.finetune4j;
    exports dev.finetune4j.core.kernel.cpu to
            dev.finetune4j.quant,
            dev.finetune4j;
    exports dev.finetune4j.core.kernel.cuda to
            dev.finetune4j.quant,
            dev.finetune4j;
    exports dev.finetune4j.core.message to
            dev.finetune4j.quant,
            dev.finetune4j.data,
            dev.finetune4j;
    exports dev.finetune4j.core.model to
            dev.finetune4j;
    exports dev.finetune4j.core.nn to
            dev.finetune4j.quant,
            dev.finetune4j;
    exports dev.finetune4j.core.tensor to
            dev.finetune4j.quant,
            dev.finetune4j.data,
            dev.finetune4j;
}
