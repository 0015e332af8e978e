package dev.finetune4j.lora.adapter.prompt;

import dev.finetune4j.core.nn.Dropout;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The prompt encoder of PEFT: makes the virtual tokens of an adapter from what is trained, an embedding, and where the method
 * has one a small network behind it. It owns its tensors, float32.
 */
sealed interface PromptEncoder {
    /** What is trained, by the names of PEFT. */
    Map<String, Tensor> trained();

    /** The virtual tokens, shape (n, width). */
    Tensor encode();

    /** Whether {@link #encode} drops something in passes that record gradients. */
    default boolean hasDropout() {
        return false;
    }

    /**
     * Virtual tokens that are trained themselves.
     *
     * @param table shape (n, width)
     */
    record Table(Tensor table) implements PromptEncoder {
        static final String NAME = "prompt_encoder.embedding.weight";

        static Table of(Map<String, Tensor> tensors) {
            return new Table(Objects.requireNonNull(tensors.get(NAME)));
        }

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
    record Perceptron(Tensor table, String name, List<Layer> layers, Activation activation) implements PromptEncoder {
        /** The name of a linear within the encoder; the functions between them count too. */
        static String layerName(String network, int index) {
            return network + "." + 2 * index;
        }

        /** @param layers how many linears there are among the tensors */
        static Perceptron of(Map<String, Tensor> tensors, String name, int layers, Activation activation) {
            List<Layer> found = new ArrayList<>();
            for (int i = 0; i < layers; i++) {
                String layer = "prompt_encoder." + layerName(name, i);
                found.add(new Layer(
                        Objects.requireNonNull(tensors.get(layer + ".weight")),
                        Objects.requireNonNull(tensors.get(layer + ".bias"))));
            }
            return new Perceptron(Table.of(tensors).table(), name, found, activation);
        }

        @Override
        public Map<String, Tensor> trained() {
            Map<String, Tensor> trained = new LinkedHashMap<>();
            trained.put(Table.NAME, table);
            for (int i = 0; i < layers.size(); i++) {
                String layer = "prompt_encoder." + layerName(name, i);
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
     * @param dropout between the layers in passes that record gradients
     */
    record Recurrent(Perceptron head, Map<String, Tensor> weights, int size, int layers, double dropout)
            implements PromptEncoder {
        static final String NAME = "lstm_head.";
        private static final String START = "prompt_encoder." + NAME;

        /** @param tensors those of the LSTM among them, in order */
        static Recurrent of(Perceptron head, Map<String, Tensor> tensors, int size, int layers, double dropout) {
            Map<String, Tensor> weights = new LinkedHashMap<>();
            tensors.forEach((name, tensor) -> {
                if (name.startsWith(START)) {
                    weights.put(name.substring(START.length()), tensor);
                }
            });
            return new Recurrent(head, weights, size, layers, dropout);
        }

        @Override
        public Map<String, Tensor> trained() {
            Map<String, Tensor> trained = new LinkedHashMap<>(head.trained());
            weights.forEach((name, tensor) -> trained.put(START + name, tensor));
            return trained;
        }

        @Override
        public boolean hasDropout() {
            return dropout > 0 && layers > 1;
        }

        @Override
        public Tensor encode() {
            Tensor states = head.table().unsqueeze(0); // (1, n, in)
            Tensor zeros = torch.zeros(new long[] {2, 1, size}, states.options());
            List<Tensor> all = new ArrayList<>(weights.values());
            int ofLayer = all.size() / layers;
            for (int i = 0; i < layers; i++) {
                // Layer by layer, because libtorch's own dropout between them draws from a generator of the process.
                Tensor input = i == 0 ? states : Dropout.apply(states, dropout, i);
                List<Tensor> own = all.subList(i * ofLayer, (i + 1) * ofLayer);
                states = torch.lstm(
                                input,
                                new TensorVector(zeros, zeros),
                                new TensorVector(own.toArray(Tensor[]::new)),
                                true,
                                1,
                                0,
                                false,
                                true,
                                true)
                        .get0(); // (1, n, 2 · size)
            }
            return head.run(states.squeeze(0));
        }
    }

    /** The encoder with its tensors as they are, once training is over: what a file holds. */
    default Tensor encoded() {
        return encode().detach().to(ScalarType.Float).contiguous();
    }
}
