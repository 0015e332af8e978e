/** Files and objects to token batches. */
@SuppressWarnings("module") // The module that the qualified export names is compiled after this one.
module dev.finetune4j.data {
    requires static transitive org.jspecify;
    requires transitive dev.finetune4j.core;
    requires com.fasterxml.jackson.databind;
    requires de.siegmar.fastcsv;
    requires transitive java.sql;
    requires org.slf4j;

    exports dev.finetune4j.data;
    exports dev.finetune4j.data.batch to
            dev.finetune4j;
}
