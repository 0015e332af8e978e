package dev.finetune4j.benchmarks;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import org.bytedeco.pytorch.Tensor;

/**
 * The loss of the first training step of a model folder on given tokens, as one line of JSON, to be compared with that of
 * another library on the same weights and tokens: before the first update an adapter changes nothing.
 *
 * <p>Arguments: the model folder, a JSON file with rows of token ids of one length, and {@code cpu} or {@code cuda}. The
 * weights are computed with in bfloat16, as they are and quantized.
 */
public final class FirstLoss {
    private FirstLoss() {}

    public static void main(String[] args) throws IOException {
        PretrainedFolder folder = PretrainedFolder.open(Path.of(args[0]));
        long[][] rows = new ObjectMapper().readValue(Path.of(args[1]).toFile(), long[][].class);
        ComputeDevice device = args[2].equals("cuda") ? ComputeDevice.cuda(0) : ComputeDevice.cpu();
        Placement placement = new Placement(device, Precision.BF16);
        double dense = loss(folder, LinearFactory.dense(), placement, rows);
        double quantized = loss(folder, new QuantizedLinearFactory(QuantSettings.nf4()), placement, rows);
        System.out.printf(
                Locale.ROOT,
                "{\"part\": \"loss\", \"provider\": \"finetune4j\", \"lora\": %.5f, \"qlora\": %.5f}%n",
                dense,
                quantized);
    }

    private static double loss(PretrainedFolder folder, LinearFactory factory, Placement placement, long[]... rows) {
        int length = rows[0].length;
        long[] ids = Arrays.stream(rows).flatMapToLong(Arrays::stream).toArray();
        long[] labels = new long[ids.length];
        for (int i = 0; i < ids.length; i++) {
            labels[i] = i % length == length - 1 ? Labels.IGNORE : ids[i + 1];
        }
        long targets = (long) rows.length * (length - 1);
        try (CausalLM base = ModelLoader.load(folder, factory, placement);
                PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
                TensorScope scope = TensorScope.forStep()) {
            CausalLM model = adapter.attachTo(base);
            Tensor hidden = model.hidden(ModelInput.padded(model.tokens(ids, rows.length, length)));
            return NextTokenLoss.lossAndBackward(hidden, model::logits, labels, 1.0 / targets) / targets;
        }
    }
}
