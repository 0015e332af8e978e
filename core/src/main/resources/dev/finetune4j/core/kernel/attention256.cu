#include "numbers.cuh"
#include "tensorcores.cuh"
#include "warpgroup.cuh"
#define HEAD 256
#include "attention.cuh"
