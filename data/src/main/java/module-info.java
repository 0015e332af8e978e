/** Files and objects to token batches. */
module dev.finetune4j.data {
    requires static transitive org.jspecify;
    requires transitive dev.finetune4j.core;
    requires com.fasterxml.jackson.databind;
    requires org.slf4j;

    exports dev.finetune4j.data;
}
