#include "numbers.cuh"
#include "tensorcores.cuh"
#include "warpgroup.cuh"
#define HEAD 128
#include "attention.cuh"
