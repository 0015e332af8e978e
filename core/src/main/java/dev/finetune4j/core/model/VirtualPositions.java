package dev.finetune4j.core.model;

import dev.finetune4j.core.nn.KvStore;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/** Puts trained positions in front of those of a batch. Stateless. */
final class VirtualPositions {
    private VirtualPositions() {}

    /** The prompt and x behind it, (B, n + T, D), in the type of x. */
    static Tensor before(Tensor x, VirtualTokens.Prompt prompt) {
        Tensor trained = Tensors.as(prompt.embeddings(), Tensors.typeOf(x)).unsqueeze(0); // (1, n, D)
        return torch.cat(new TensorVector(trained.expand(x.size(0), trained.size(1), trained.size(2)), x), 1);
    }

    /** A past of trained keys and values alone, shape (1, kv heads, n, head size), the same for every row of a batch. */
    static KvStore before(KvStore.KeysAndValues first) {
        return (keys, values) -> new KvStore.KeysAndValues(join(first.keys(), keys), join(first.values(), values));
    }

    private static Tensor join(Tensor first, Tensor added) {
        Tensor start = Tensors.as(first, Tensors.typeOf(added))
                .expand(added.size(0), first.size(1), first.size(2), first.size(3));
        return torch.cat(new TensorVector(start, added), 2);
    }
}
