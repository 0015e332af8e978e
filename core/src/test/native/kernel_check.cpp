// Runs every kernel of every level that this processor has over odd sizes, with each buffer exactly as long as the kernel may
// touch, and compares with plain loops. Meant to be built with the address and undefined-behaviour sanitizers; sanitize.sh
// beside this file does so.
#include "check_codes.h"
#include "check_decode.h"
#include "check_elements.h"

int main() {
    using namespace finetune4j;
    using namespace finetune4j::check;
    for (int level = 0; level < LEVELS; level++) {
        if (!cpu_runs(level)) {
            std::printf("%-12s not on this processor or not in this build\n", NAMES[level]);
            continue;
        }
        int before = comparisons;
        check_codes(level);
        check_elements(level);
        check_decode(level);
        check_products_of_panels(level);
        check_dense_products(level);
        std::printf("%-12s %d comparisons\n", NAMES[level], comparisons - before);
    }
    std::printf("%d of %d comparisons failed\n", failures, comparisons);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
