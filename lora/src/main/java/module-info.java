/**
 * Fine-tunes open large language models and runs the result: what applications require.
 *
 * <p>{@link dev.finetune4j.FineTuner} trains, {@link dev.finetune4j.LanguageModel} chats.
 */
module dev.finetune4j {
    requires static transitive org.jspecify;
    requires transitive dev.finetune4j.core;
    requires transitive dev.finetune4j.quant;
    requires transitive dev.finetune4j.data;
    requires com.fasterxml.jackson.databind;
    requires org.slf4j;
    requires org.bytedeco.javacpp;
    requires org.bytedeco.pytorch;
    requires java.desktop;
    requires java.management;
    requires jdk.jfr;
    requires xchart;

    exports dev.finetune4j;
    exports dev.finetune4j.lora.adapter;
    exports dev.finetune4j.lora.eval;
    exports dev.finetune4j.lora.parallel;
    exports dev.finetune4j.lora.plan;
    exports dev.finetune4j.lora.report;
    exports dev.finetune4j.lora.train;
}
