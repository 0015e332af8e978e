package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import java.util.Optional;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * What the kernels of {@code lowrank.cuh} are compiled for, and which factors they serve. Immutable.
 *
 * @param members that share an input
 * @param tiles of eight ranks that each has
 * @param drop whether there is dropout before them
 */
record LowRankForm(int members, int tiles, boolean drop) {
    static final int TILE_RANKS = 8;
    static final int MAX_TILES = 12;
    static final int MAX_MEMBERS = 3;
    /** Columns that a warp takes at a time. */
    static final int SEGMENT = 32;
    /**
     * With more rows a training without dropout is quicker by general products; see the measurements in
     * {@code benchmarks/GPU-NOTES.md}.
     */
    static final long MAX_PLAIN_ROWS = 4096;

    private static final int ALIGNED_NUMBERS = 8;
    private static final int ALIGNED_BYTES = 16;

    /** Which kernels serve the factors A of these members; empty when none do. */
    static Optional<LowRankForm> ofA(List<LowRankMatmul.Factors> members, Tensor wide) {
        LowRankMatmul.Factors first = members.get(0);
        boolean equal = members.stream().allMatch(member -> member.rank() == first.rank());
        boolean masked = members.stream().anyMatch(member -> member.mask() != null);
        boolean oneScale = members.stream().allMatch(member -> member.scale() == first.scale());
        boolean tiled = members.stream().allMatch(member -> member.rank() % TILE_RANKS == 0);
        int tiles = Math.toIntExact(LowRankMatmul.ranks(members) / TILE_RANKS);
        boolean quicker = masked || wide.size(0) <= MAX_PLAIN_ROWS;
        if (!quicker || !tiled || tiles > MAX_TILES || !supports(wide) || wide.size(1) % SEGMENT != 0) {
            return Optional.empty();
        }
        if (!masked && oneScale) {
            return Optional.of(new LowRankForm(1, tiles, false));
        }
        boolean fits = equal && members.size() <= MAX_MEMBERS && (!masked || drawAlike(members));
        return fits ? Optional.of(new LowRankForm(members.size(), tiles / members.size(), masked)) : Optional.empty();
    }

    /** Which kernels serve the factor B of a member; empty when none do. */
    static Optional<LowRankForm> ofB(LowRankMatmul.Factors member, Tensor own) {
        long tiles = member.rank() / TILE_RANKS;
        boolean fits = member.rank() % TILE_RANKS == 0
                && tiles <= MAX_TILES
                && supports(own)
                && own.size(1) % SEGMENT == 0
                && isAligned(member.b());
        return fits ? Optional.of(new LowRankForm(1, (int) tiles, false)) : Optional.empty();
    }

    /** Whether masks differ by their module only. */
    private static boolean drawAlike(List<LowRankMatmul.Factors> members) {
        DropoutMask first = members.get(0).mask();
        if (first == null) {
            return false;
        }
        DropoutKernel.Mask draw = first.draw();
        return members.stream()
                .allMatch(member -> member.mask() != null
                        && member.mask().draw().ofModule(draw.module()).equals(draw));
    }

    private static boolean supports(Tensor x) {
        return x.dim() == 2
                && Tensors.typeOf(x) == ScalarType.BFloat16
                && x.size(0) > 0
                && x.stride(1) == 1
                && x.stride(0) % ALIGNED_NUMBERS == 0
                && isAligned(x);
    }

    /** Whether the numbers begin where the kernels can load several at once. */
    static boolean isAligned(Tensor x) {
        try (Pointer data = x.data_ptr()) {
            return data.address() % ALIGNED_BYTES == 0;
        }
    }

    int allTiles() {
        return members * tiles;
    }

    /** Ranks of all members. */
    int ranks() {
        return allTiles() * TILE_RANKS;
    }

    /** What stands before the source. */
    String prologue() {
        return "#define LOWRANK_MEMBERS " + members + "\n#define LOWRANK_TILES " + tiles + "\n#define LOWRANK_DROP "
                + drop + "\n";
    }

    /** Tiles of 16 rows that a block of {@code down_a} takes, as {@code ROW_TILES} in the source. */
    int rowTiles() {
        return allTiles() <= 2 ? 4 : 2;
    }

    /** Segments of columns that a warp of {@code gradient} takes, as {@code SEGS} in the source. */
    int segments() {
        return allTiles() <= 4 ? 2 : 1;
    }
}
