/*
 * The fuzzer's place is taken where there is no libFuzzer: `replay N FILE...` runs each file and
 * then N inputs made from them, the same ones each time.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST 4096
#define SEEDS 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seed {
    uint8_t *data;
    size_t size;
};

static struct seed seeds[SEEDS];
static size_t seeds_used;
static uint64_t state = 0x9E3779B97F4A7C15U;
static uint8_t made[LARGEST];
static size_t made_size;

/* Marsaglia's xorshift generator. */
static size_t below(size_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state % limit);
}

/* A copy of its own, so that the sanitizer sees where it ends. */
static void run(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void read_seed(const char *path) {
    static uint8_t whole[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file || seeds_used == SEEDS) exit(2);
    size_t size = fread(whole, 1, sizeof whole, file);
    fclose(file);
    uint8_t *data = malloc(size ? size : 1);
    if (!data) exit(2);
    memcpy(data, whole, size);
    seeds[seeds_used++] = (struct seed){data, size};
}

static void insert(const uint8_t *data, size_t size) {
    size_t at = below(made_size + 1);
    if (size > LARGEST - made_size) return;
    memmove(made + at + size, made + at, made_size - at);
    memcpy(made + at, data, size);
    made_size += size;
}

static void cut(void) {
    size_t at = below(made_size);
    size_t size = below(made_size - at) + 1;
    memmove(made + at, made + at + size, made_size - at - size);
    made_size -= size;
}

static void splice(void) {
    const struct seed *other = &seeds[below(seeds_used)];
    if (!other->size) return;
    size_t at = below(other->size);
    insert(other->data + at, below(other->size - at) + 1);
}

static void change(void) {
    uint8_t bytes[8];
    for (size_t at = 0; at < sizeof bytes; at++) bytes[at] = (uint8_t)below(256);
    size_t what = below(made_size ? 6 : 2);
    if (what == 0)
        insert(bytes, below(sizeof bytes) + 1);
    else if (what == 1)
        splice();
    else if (what == 2)
        cut();
    else if (what == 3)
        made[below(made_size)] = bytes[0];
    else if (what == 4)
        made[below(made_size)] ^= (uint8_t)(1 << (bytes[0] & 7));
    else
        made[below(made_size)] = (uint8_t)(bytes[0] & 1 ? 0xFF : bytes[1] & 15);
}

static void make_one(void) {
    const struct seed *base = &seeds[below(seeds_used)];
    made_size = base->size < LARGEST ? base->size : LARGEST;
    memcpy(made, base->data, made_size);
    for (size_t left = below(8) + 1; left; left--) change();
}

int main(int count, char **words) {
    if (count < 3) return 2;
    for (int at = 2; at < count; at++) read_seed(words[at]);
    for (size_t at = 0; at < seeds_used; at++) run(seeds[at].data, seeds[at].size);
    unsigned long inputs = strtoul(words[1], NULL, 10);
    for (unsigned long at = 0; at < inputs; at++) {
        make_one();
        run(made, made_size);
    }
    printf("%zu seeds and %lu inputs\n", seeds_used, inputs);
    for (size_t at = 0; at < seeds_used; at++) free(seeds[at].data);
    return 0;
}
