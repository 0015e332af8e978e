package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/** By a device's general products of matrices; dropout makes copies of the input. */
final class ComposedLowRankMatmul implements LowRankMatmul {
    private final MatmulKernels matmul;

    ComposedLowRankMatmul(MatmulKernels matmul) {
        this.matmul = matmul;
    }

    @Override
    public void down(Tensor x, List<Factors> members, Tensor low) {
        try (TensorScope scope = new TensorScope()) {
            if (isMasked(members)) {
                long rank = 0;
                for (Factors member : members) {
                    matmul.gemmNT(masked(x, member), member.a(), low.narrow(1, rank, member.rank()));
                    rank += member.rank();
                }
            } else {
                matmul.gemmNT(x, AdjacentTensors.rows(factorsA(members)), low);
            }
            scale(low, members);
        }
    }

    private static boolean isMasked(List<Factors> members) {
        return members.stream().anyMatch(member -> member.mask() != null);
    }

    private static Tensor masked(Tensor x, Factors member) {
        return member.mask() == null ? x : member.mask().applyTo(x);
    }

    private static List<Tensor> factorsA(List<Factors> members) {
        return members.stream().map(Factors::a).toList();
    }

    /** Each member's columns by its factor. */
    private static void scale(Tensor low, List<Factors> members) {
        double first = members.get(0).scale();
        if (members.stream().allMatch(member -> member.scale() == first)) {
            low.mul_(new Scalar(first));
            return;
        }
        long rank = 0;
        for (Factors member : members) {
            low.narrow(1, rank, member.rank()).mul_(new Scalar(member.scale()));
            rank += member.rank();
        }
    }

    @Override
    public void up(Tensor low, List<Factors> members, Tensor y) {
        try (TensorScope scope = new TensorScope()) {
            long rank = 0;
            for (Factors member : members) {
                matmul.gemmNT(low.narrow(1, rank, member.rank()), member.b(), member.outputsOf(y));
                rank += member.rank();
            }
        }
    }

    @Override
    public void backwardUp(Tensor dy, Tensor low, List<Factors> members, Tensor dlow) {
        try (TensorScope scope = new TensorScope()) {
            long rank = 0;
            for (Factors member : members) {
                Tensor own = member.outputsOf(dy);
                matmul.gemmNN(own, member.b(), dlow.narrow(1, rank, member.rank()));
                if (member.gradB() != null) {
                    matmul.addTN(member.gradB(), own, low.narrow(1, rank, member.rank()));
                }
                rank += member.rank();
            }
            scale(dlow, members);
        }
    }

    @Override
    public void addGradA(Tensor dlow, Tensor x, List<Factors> members) {
        try (TensorScope scope = new TensorScope()) {
            List<Tensor> gradients = new ArrayList<>();
            members.forEach(member -> {
                if (member.gradA() != null) {
                    gradients.add(member.gradA());
                }
            });
            boolean stacked = matmul.prefersStacked() && !isMasked(members) && gradients.size() == members.size();
            Tensor all = stacked ? AdjacentTensors.view(gradients).orElse(null) : null;
            if (all != null) {
                matmul.addTN(all, dlow, x); // x is read once for all members
                return;
            }
            long rank = 0;
            for (Factors member : members) {
                if (member.gradA() != null) {
                    matmul.addTN(member.gradA(), dlow.narrow(1, rank, member.rank()), masked(x, member));
                }
                rank += member.rank();
            }
        }
    }

    @Override
    public Tensor inputGradient(Tensor dlow, List<Factors> members) {
        try (TensorScope scope = new TensorScope()) {
            if (!isMasked(members)) {
                return scope.keep(matmul.lowRank(dlow, AdjacentTensors.rows(factorsA(members))));
            }
            Tensor sum = Tensors.zeros(
                    Tensors.deviceOf(dlow),
                    Tensors.typeOf(dlow),
                    dlow.size(0),
                    members.get(0).a().size(1));
            long rank = 0;
            for (Factors member : members) {
                sum.add_(masked(matmul.lowRank(dlow.narrow(1, rank, member.rank()), member.a()), member));
                rank += member.rank();
            }
            return scope.keep(sum);
        }
    }
}
