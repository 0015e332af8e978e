#include "numbers.cuh"
#include "tensorcores.cuh"
#include "warpgroup.cuh"
#define HEAD 64
#include "attention.cuh"
