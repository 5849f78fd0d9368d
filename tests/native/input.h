/*
 * The bytes of a fuzzer, read as a program: numbers and runs of bytes, zeros where they end.
 */
#ifndef INPUT_H
#define INPUT_H

#include <stddef.h>
#include <stdint.h>

struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t take_u8(struct input *input) {
    if (!input->left) return 0;
    input->left--;
    return *input->at++;
}

static inline uint16_t take_u16(struct input *input) {
    unsigned high = take_u8(input);
    return (uint16_t)(high << 8 | take_u8(input));
}

/* The next bytes, at most `wanted`; `size` says how many there are. */
static inline const uint8_t *take_bytes(struct input *input, size_t wanted, size_t *size) {
    const uint8_t *bytes = input->at;
    *size = wanted < input->left ? wanted : input->left;
    input->at += *size;
    input->left -= *size;
    return bytes;
}

#endif
