package dev.finetune4j.lora.adapter;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Makes the virtual tokens of an adapter from what is trained: a table, and where the method has one a small network behind
 * it. It owns its tensors, float32.
 */
sealed interface VirtualTokenEncoder {
    /** What is trained, by the names of PEFT. */
    Map<String, Tensor> trained();

    /** The virtual tokens, shape (n, width). */
    Tensor encode();

    /**
     * Virtual tokens that are trained themselves.
     *
     * @param table shape (n, width)
     */
    record Table(Tensor table) implements VirtualTokenEncoder {
        static final String NAME = "prompt_encoder.embedding.weight";

        @Override
        public Map<String, Tensor> trained() {
            return Map.of(NAME, table);
        }

        @Override
        public Tensor encode() {
            return table;
        }
    }

    /** The function between two linears. */
    enum Activation {
        RELU,
        TANH;

        Tensor apply(Tensor x) {
            return this == RELU ? torch.relu(x) : torch.tanh(x);
        }
    }

    /**
     * One linear of a network.
     *
     * @param weight shape (out, in)
     * @param bias shape (out)
     */
    record Layer(Tensor weight, Tensor bias) {}

    /**
     * Linears with functions between them, behind a table.
     *
     * @param table shape (n, in)
     * @param name of the network in PEFT
     */
    record Perceptron(Tensor table, String name, List<Layer> layers, Activation activation)
            implements VirtualTokenEncoder {
        @Override
        public Map<String, Tensor> trained() {
            Map<String, Tensor> trained = new LinkedHashMap<>();
            trained.put(Table.NAME, table);
            for (int i = 0; i < layers.size(); i++) {
                String layer = "prompt_encoder." + name + "." + 2 * i; // the functions count as layers
                trained.put(layer + ".weight", layers.get(i).weight());
                trained.put(layer + ".bias", layers.get(i).bias());
            }
            return trained;
        }

        @Override
        public Tensor encode() {
            return run(table);
        }

        Tensor run(Tensor input) {
            Tensor x = input;
            for (int i = 0; i < layers.size(); i++) {
                Layer layer = layers.get(i);
                x = torch.linear(i == 0 ? x : activation.apply(x), layer.weight(), new TensorOptional(layer.bias()));
            }
            return x;
        }
    }

    /**
     * A bidirectional LSTM between a table and linears.
     *
     * @param weights for each layer and direction those of input and state, then the two biases, by PyTorch's names
     * @param dropout between the layers while gradients are recorded
     */
    record Recurrent(Perceptron head, Map<String, Tensor> weights, int size, int layers, double dropout)
            implements VirtualTokenEncoder {
        @Override
        public Map<String, Tensor> trained() {
            Map<String, Tensor> trained = new LinkedHashMap<>(head.trained());
            weights.forEach((name, tensor) -> trained.put("prompt_encoder.lstm_head." + name, tensor));
            return trained;
        }

        @Override
        public Tensor encode() {
            Tensor input = head.table().unsqueeze(0); // (1, n, in)
            Tensor zeros = torch.zeros(new long[] {2L * layers, 1, size}, input.options());
            List<Tensor> all = new ArrayList<>(weights.values());
            Tensor states = torch.lstm(
                            input,
                            new TensorVector(zeros, zeros),
                            new TensorVector(all.toArray(Tensor[]::new)),
                            true,
                            layers,
                            dropout,
                            dropout > 0 && GradMode.is_enabled(),
                            true,
                            true)
                    .get0(); // (1, n, 2 · size)
            return head.run(states.squeeze(0));
        }
    }

    /** The encoder with its tensors as they are, once training is over: what a file holds. */
    default Tensor encoded() {
        return encode().detach().to(ScalarType.Float).contiguous();
    }
}
