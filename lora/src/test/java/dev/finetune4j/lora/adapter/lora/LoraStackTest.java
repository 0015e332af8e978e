package dev.finetune4j.lora.adapter.lora;

import static dev.finetune4j.testsupport.TensorData.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.ExpertAddition;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Gradients;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LowRankStack;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.nn.WeightStack;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The factors of single experts' linears as one stack give the products and the gradients that each has alone. */
class LoraStackTest {
    private static final int EXPERTS = 4;
    private static final int IN = 16;
    private static final int OUT = 10;

    /** Which of an expert's linears are adapted, and where their factors lie. */
    private record Case(List<Boolean> adapted, int rank, boolean adjacent, double dropout) {
        List<Linear> linears(SplittableRandom random) {
            int linears = adapted.size();
            Tensor weights = normal(random, (long) EXPERTS * linears * OUT, IN);
            Tensor allA = normal(random, (long) EXPERTS * linears * rank, IN);
            Tensor allB = normal(random, (long) EXPERTS * linears * OUT, rank);
            List<Linear> result = new ArrayList<>();
            int layers = 0;
            for (int i = 0; i < EXPERTS * linears; i++) {
                Linear base = new DenseLinear(weights.narrow(0, (long) i * OUT, OUT), null);
                if (!adapted.get(i % linears)) {
                    result.add(base);
                    continue;
                }
                Tensor a = allA.narrow(0, (long) layers * rank, rank);
                Tensor b = allB.narrow(0, (long) layers * OUT, OUT);
                result.add(new LoraLinear(base, layer(adjacent ? a : a.clone(), adjacent ? b : b.clone(), dropout)));
                layers++;
            }
            return result;
        }
    }

    private static LoraLayer layer(Tensor a, Tensor b, double dropout) {
        return new LoraLayer(
                new Parameter(a), new Parameter(b), null, null, null, 1.5, dropout, 0, new RowNorms(), false);
    }

    private static Tensor normal(SplittableRandom random, long... shape) {
        return Tensors.normal(ComputeDevice.cpu(), random, 1, shape);
    }

    private static List<Boolean> pattern(String adapted) {
        return adapted.chars().mapToObj(place -> place == 'x').toList();
    }

    private static Optional<WeightStack> stack(List<Linear> linears) {
        return linears.stream()
                .limit(linears.size() / EXPERTS)
                .flatMap(linear -> linear.stackedWith(linears, EXPERTS).stream())
                .findFirst();
    }

    @ParameterizedTest
    @CsvSource({"xx, 8, true", "xx, 6, true", "xx, 6, false", "x, 5, true", "x, 8, false", "x-, 4, true", "-x, 6, false"
    })
    void hasTheProductsOfEach(String adapted, int rank, boolean adjacent) {
        try (TensorScope scope = new TensorScope()) {
            Case each = new Case(pattern(adapted), rank, adjacent, 0);
            List<Linear> linears = each.linears(new SplittableRandom(rank));
            WeightStack stack = stack(linears).orElseThrow();
            LowRankStack added = Objects.requireNonNull(stack.addition());
            Tensor sum = stack.dense(ScalarType.Float)
                    .add(torch.bmm(added.b(ScalarType.Float), added.a(ScalarType.Float))
                            .mul_(Tensors.scalar(added.scale()))); // (experts, n · out, in)
            assertEquals(0, added.a(ScalarType.Float).size(1) % 8, "products of groups take multiples of eight");
            for (int i = 0; i < linears.size(); i++) {
                int n = adapted.length();
                Tensor own = sum.select(0, i / n).narrow(0, (long) i % n * OUT, OUT);
                assertClose("linear " + i, Tensors.toFloats(linears.get(i).denseWeight()), Tensors.toFloats(own), 1e-6);
            }
        }
    }

    /** What the gradients of the stacked factors say of a small change of each own factor. */
    @ParameterizedTest
    @CsvSource({"xx, 8, true", "xx, 6, false", "x, 5, true", "x-, 4, true", "-x, 6, false"})
    void handsGradientsToEach(String adapted, int rank, boolean adjacent) {
        try (TensorScope scope = new TensorScope()) {
            SplittableRandom random = new SplittableRandom(rank);
            List<Linear> linears = new Case(pattern(adapted), rank, adjacent, 0).linears(random);
            LowRankStack added =
                    Objects.requireNonNull(stack(linears).orElseThrow().addition());
            Tensor ofA = torch.randn_like(added.a(ScalarType.Float));
            Tensor ofB = torch.randn_like(added.b(ScalarType.Float));
            added.addGradients(ofA, ofB);
            added.addGradients(ofA, ofB);
            for (Linear linear : linears) {
                if (linear instanceof LoraLinear lora) {
                    check(added, ofA, ofB, lora.layer().a(), random);
                    check(added, ofA, ofB, lora.layer().b(), random);
                }
            }
        }
    }

    private static void check(LowRankStack added, Tensor ofA, Tensor ofB, Tensor factor, SplittableRandom random) {
        Tensor change = normal(random, factor.shape());
        double before = value(added, ofA, ofB);
        double expected = Gradients.of(factor).mul(change).sum().item_double();
        factor.add_(change);
        double after = value(added, ofA, ofB);
        factor.sub_(change);
        // The gradients were added twice.
        assertEquals(expected, 2 * (after - before), 1e-2, "it is linear in the factors");
    }

    private static double value(LowRankStack added, Tensor ofA, Tensor ofB) {
        return added.a(ScalarType.Double).mul(ofA).sum().item_double()
                + added.b(ScalarType.Double).mul(ofB).sum().item_double();
    }

    @Test
    void kernelsReadWhatLiesBehindOneAnother() {
        try (TensorScope scope = new TensorScope()) {
            SplittableRandom random = new SplittableRandom(1);
            List<Linear> linears = new Case(pattern("xx"), 4, true, 0).linears(random);
            ExpertAddition addition = addition(linears);
            assertNotNull(addition);
            assertEquals(8, addition.numbers());
            assertEquals(4, addition.rank());
            ExpertAddition.Strides strides = addition.strides();
            // The up projection of the third expert, its output 5, number 2.
            long at = 2 * strides.expert() + strides.linear() + 5 * strides.output() + 2 * strides.number();
            LoraLinear third = (LoraLinear) linears.get(2 * 2 + 1);
            Tensor all = addition.b().as_strided(new long[] {at + 1}, 1);
            assertEquals(
                    third.layer().b().select(0, 5).select(0, 2).item_float(),
                    all.select(0, at).item_float());
            assertNull(addition(new Case(pattern("xx"), 4, false, 0).linears(random)));
            assertNull(addition(new Case(pattern("x-"), 4, true, 0).linears(random)), "one block of B is not there");
        }
    }

    private static @Nullable ExpertAddition addition(List<Linear> linears) {
        return Objects.requireNonNull(stack(linears).orElseThrow().addition()).forKernels();
    }

    @Test
    void whatIsNotAlikeIsNoStack() {
        try (TensorScope scope = new TensorScope()) {
            SplittableRandom random = new SplittableRandom(1);
            List<Linear> linears = new Case(pattern("xx"), 4, true, 0).linears(random);
            LoraLinear first = (LoraLinear) linears.get(0);
            List<Linear> bare = new ArrayList<>(linears);
            bare.set(2, ((LoraLinear) linears.get(2)).base());
            assertFalse(stack(bare).isPresent(), "one expert is adapted otherwise");
            List<Linear> ranks = new ArrayList<>(linears);
            ranks.set(0, new LoraLinear(first.base(), layer(normal(random, 8, IN), normal(random, OUT, 8), 0)));
            assertFalse(stack(ranks).isPresent(), "one has another rank");
            List<Linear> apart = new ArrayList<>(linears);
            apart.set(0, new LoraLinear(new DenseLinear(normal(random, OUT, IN), null), first.layer()));
            assertFalse(stack(apart).isPresent(), "one weight lies elsewhere");
            WeightStack dropped =
                    stack(new Case(pattern("xx"), 4, true, 0.5).linears(random)).orElseThrow();
            assertFalse(dropped.isOneByOne(), "dropout counts only in passes that record gradients");
            assertTrue(stack(linears).isPresent());
        }
    }
}
