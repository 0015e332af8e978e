/** 4-bit weights: how they are stored, read and multiplied. Applications see the settings. */
@SuppressWarnings("module") // The module that qualified exports name is compiled after this one.
module dev.finetune4j.quant {
    requires static transitive org.jspecify;
    requires transitive dev.finetune4j.core;
    requires com.fasterxml.jackson.databind;
    requires org.bytedeco.javacpp;
    requires org.bytedeco.pytorch;

    exports dev.finetune4j.quant;
    exports dev.finetune4j.quant.kernel to
            dev.finetune4j;

    // The sources of the kernels, which core compiles.
    opens dev.finetune4j.quant.kernel to
            dev.finetune4j.core;
}
