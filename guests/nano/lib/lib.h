/*
 * Small helpers linked into both the kernel and the user program: types, memory, text, options.
 * Invariant: no state, no system calls, no privileged instructions.
 * Source: our own; memcpy/memset exist because gcc may call them even in freestanding code.
 */
#ifndef LIB_H
#define LIB_H

#include <stdarg.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

void *memcpy(void *to, const void *from, u32 bytes);
void *memset(void *to, int value, u32 bytes);
u32 text_length(const char *text);
int text_equal(const char *a, const char *b);
void text_copy(char *to, const char *from, u32 capacity_bytes);

/* Knows %s (text), %u (decimal), %x (hex), %X (hex, 8 digits). Always ends with a zero byte. */
u32 format(char *out, u32 capacity_bytes, const char *pattern, ...);
u32 format_list(char *out, u32 capacity_bytes, const char *pattern, va_list args);

/* Copies the next blank-separated word of *line to `word` and moves on; 0 at the end. */
int word_next(const char **line, char *word, u32 capacity_bytes);
/* 1 when `word` is `key=...`; *value then points behind the '='. */
int word_has_key(const char *word, const char *key, const char **value);
/* Decimal digits only, no overflow. 1 on success. */
int parse_number(const char *text, u32 *number);

/* One step of FNV-1a over a 32-bit word: order matters, so a lost or repeated step shows. */
static inline u32 checksum_add(u32 sum, u32 word)
{
    return (sum ^ word) * 16777619u;
}
#define CHECKSUM_START 2166136261u

#endif
