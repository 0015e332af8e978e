package dev.finetune4j.examples.cli;

import dev.finetune4j.Adapter;
import dev.finetune4j.GgufType;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.ModelFormat;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** Writes a model, with an adapter merged into it if one is given, for other programs. */
@CommandLine.Command(
        name = "export",
        description = {
            "Writes a model for other programs, with the adapter merged into it where one is given: a folder of safetensors for",
            "transformers and vLLM, a GGUF file for llama.cpp and LM Studio, a folder with a Modelfile for Ollama, or the adapter",
            "alone as GGUF. What such a program would compute otherwise is refused, with the reasons."
        },
        mixinStandardHelpOptions = true)
final class ExportCommand implements Callable<Integer> {
    /** What is written. */
    enum Form {
        SAFETENSORS,
        GGUF,
        OLLAMA,
        GGUF_ADAPTER
    }

    @CommandLine.Mixin
    private Output output = new Output();

    @CommandLine.Mixin
    private MergeOptions options = new MergeOptions();

    @CommandLine.Option(
            names = "--format",
            description = "One of ${COMPLETION-CANDIDATES}; ${DEFAULT-VALUE} by default.")
    private Form form = Form.SAFETENSORS;

    @CommandLine.Option(
            names = "--type",
            description = "Of the numbers of GGUF: ${COMPLETION-CANDIDATES}; Q8_0 by default, F16 for an adapter.")
    private @Nullable GgufType type;

    @CommandLine.Option(
            names = "--context-length",
            paramLabel = "TOKENS",
            description = "Write the GGUF file for texts of at most so many tokens.")
    private int contextLength;

    @Override
    public Integer call() {
        options.read(output);
        if (form == Form.GGUF_ADAPTER) {
            writeAdapter();
        } else {
            ModelWriting.write(options, format());
        }
        Exported.of(options.target()).print(output);
        return 0;
    }

    private ModelFormat format() {
        ModelFormat.Gguf gguf = ModelFormat.gguf(type == null ? GgufType.Q8_0 : type);
        ModelFormat.Gguf limited = contextLength == 0 ? gguf : gguf.contextLength(contextLength);
        return switch (form) {
            case SAFETENSORS -> options.huggingFace();
            case GGUF -> limited;
            case OLLAMA -> ModelFormat.ollama(limited);
            case GGUF_ADAPTER -> throw new IllegalStateException("no whole model");
        };
    }

    private void writeAdapter() {
        if (options.adapters().size() != 1) {
            throw new IllegalArgumentException("GGUF_ADAPTER writes one adapter, but there are "
                    + options.adapters().size() + "; name it with --adapter PATH");
        }
        try (LanguageModel model = ModelWriting.load(options, options.folder());
                Adapter adapter = model.loadAdapter(options.adapters().get(0))) {
            adapter.saveGguf(options.target(), type == null ? GgufType.F16 : type);
        }
    }
}
