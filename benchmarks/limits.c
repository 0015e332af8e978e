/*
 * Measures what this machine's cores and memory can do at most, as lines that BenchmarkTable reads:
 *
 *   cc -O3 -march=native -pthread limits.c -o limits && ./limits 2 > limits.properties
 *
 * The argument is the number of threads. Each figure is the best of several rounds. bf16 and fp32 are independent
 * multiply-adds in registers; read is a sum over, copy a memcpy between buffers that no cache holds (bytes read and written
 * together). Without instructions for bfloat16 its figure is that of fp32.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

/* Sums that do not wait for each other, as many as fit into the registers; named one by one, or they would lie in memory. */
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#if defined(__x86_64__) && !defined(__AVX512F__)
#define LANES 8
#define CHAINS 12
#define REGISTER "x"
#define EACH(X) TWELVE(X)
#else
#define CHAINS 16
#define EACH(X) TWELVE(X) X(12) X(13) X(14) X(15)
#ifdef __AVX512F__
#define LANES 16
#define REGISTER "v"
#else
#define LANES 4
#define REGISTER "w"
#endif
#endif

enum { ROUNDS = 100, STEPS = 400000, BUFFER = 192 << 20 };

typedef float floats __attribute__((vector_size(LANES * 4)));
typedef uint64_t words __attribute__((vector_size(64)));

typedef struct {
    char *from;
    char *to;
    double work; /* of one round */
    volatile float sink;
} task;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void *multiply_floats(void *argument) {
    task *own = argument;
    floats a, b, all;
    for (int i = 0; i < LANES; i++) {
        a[i] = 1.0f + own->sink * 1e-9f;
        b[i] = 1e-6f + own->sink;
    }
    all = b;
#define START(c) floats sum##c = b * (float) c;
#define MULTIPLY_ADD(c)                 \
    sum##c = sum##c * a + b; /* contracted to one instruction */ \
    __asm__ volatile("" : "+" REGISTER(sum##c));
#define GATHER(c) all += sum##c;
    EACH(START)
    for (long s = 0; s < STEPS; s++) {
        EACH(MULTIPLY_ADD)
    }
    EACH(GATHER)
    own->sink = all[0] * 0;
    own->work = 2.0 * LANES * CHAINS * STEPS;
    return NULL;
}

#ifdef __AVX512BF16__
static void *multiply_bfloats(void *argument) {
    task *own = argument;
    __m512 all = _mm512_setzero_ps();
    __m512bh a = (__m512bh) _mm512_set1_epi16(0x3f80), b = (__m512bh) _mm512_set1_epi16(0x3800);
#define START_BF16(c) __m512 sum##c = _mm512_set1_ps((float) c);
#define MULTIPLY_ADD_BF16(c)                    \
    sum##c = _mm512_dpbf16_ps(sum##c, a, b); \
    __asm__ volatile("" : "+v"(sum##c));
#define GATHER_BF16(c) all = _mm512_add_ps(all, sum##c);
    EACH(START_BF16)
    for (long s = 0; s < STEPS; s++) {
        EACH(MULTIPLY_ADD_BF16)
    }
    EACH(GATHER_BF16)
    own->sink = _mm512_reduce_add_ps(all) * 0;
    own->work = 2.0 * 32 * CHAINS * STEPS;
    return NULL;
}
#endif

static void *sum_memory(void *argument) {
    task *own = argument;
    const words *data = (const words *) own->from;
    words sum[4] = {{0}};
    for (long i = 0; i < BUFFER / 64; i += 4) {
        for (int k = 0; k < 4; k++) sum[k] += data[i + k];
    }
    sum[0] += sum[1] + sum[2] + sum[3];
    own->sink = (float) (sum[0][0] & 1);
    own->work = BUFFER;
    return NULL;
}

static void *copy_memory(void *argument) {
    task *own = argument;
    memcpy(own->to, own->from, BUFFER);
    own->work = 2.0 * BUFFER;
    return NULL;
}

static double best(int threads, task *tasks, void *(*body)(void *) ) {
    double rate = 0;
    pthread_t *handles = malloc(threads * sizeof(pthread_t));
    for (int round = 0; round < ROUNDS; round++) {
        double start = now(), work = 0;
        for (int t = 0; t < threads; t++) {
            if (pthread_create(&handles[t], NULL, body, &tasks[t]) != 0) exit(1);
        }
        for (int t = 0; t < threads; t++) {
            pthread_join(handles[t], NULL);
            work += tasks[t].work;
        }
        double found = work / (now() - start) / 1e9;
        rate = found > rate ? found : rate;
    }
    free(handles);
    return rate;
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 1;
    if (threads < 1) {
        fprintf(stderr, "usage: limits THREADS\n");
        return 2;
    }
    task *tasks = calloc(threads, sizeof(task));
    for (int t = 0; t < threads; t++) {
        tasks[t].from = aligned_alloc(64, BUFFER);
        tasks[t].to = aligned_alloc(64, BUFFER);
        if (tasks[t].from == NULL || tasks[t].to == NULL) return 1;
        memset(tasks[t].from, 1, BUFFER);
        memset(tasks[t].to, 2, BUFFER);
    }
    double fp32 = best(threads, tasks, multiply_floats), bf16 = fp32;
#ifdef __AVX512BF16__
    bf16 = best(threads, tasks, multiply_bfloats);
#endif
    printf("cpu.threads=%d\ncpu.bf16.gflops=%.0f\ncpu.fp32.gflops=%.0f\n", threads, bf16, fp32);
    printf("cpu.read.gbs=%.1f\n", best(threads, tasks, sum_memory));
    printf("cpu.copy.gbs=%.1f\n", best(threads, tasks, copy_memory));
    return 0;
}
