/*
 * Memory, text and option helpers for kernel and user program.
 * Invariant: every writer is given the room it has and never leaves text without its zero byte.
 * Source: our own.
 */
#include "lib.h"

/* `rep movsb` and friends: the string instructions are what such kernels use, and they fault midway. */
void *memcpy(void *to, const void *from, u32 bytes)
{
    void *at = to;
    u32 words = bytes / 4, rest = bytes % 4;

    __asm__ volatile("rep movsl" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(rest) : : "memory");
    return to;
}

void *memset(void *to, int value, u32 bytes)
{
    void *at = to;
    u32 word = (u8)value * 0x01010101u;
    u32 words = bytes / 4, rest = bytes % 4;

    __asm__ volatile("rep stosl" : "+D"(at), "+c"(words) : "a"(word) : "memory");
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(rest) : "a"(word) : "memory");
    return to;
}

u32 text_length(const char *text)
{
    u32 length = 0;

    while (text[length])
        length++;
    return length;
}

int text_equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

void text_copy(char *to, const char *from, u32 capacity_bytes)
{
    u32 i = 0;

    for (; from[i] && i + 1 < capacity_bytes; i++)
        to[i] = from[i];
    to[i] = 0;
}

struct writer {
    char *out;
    u32 used_bytes;
    u32 capacity_bytes;
};

static void put(struct writer *w, char c)
{
    if (w->used_bytes + 1 < w->capacity_bytes)
        w->out[w->used_bytes++] = c;
}

static void put_number(struct writer *w, u32 number, u32 base, u32 digits_min)
{
    char digits[10];
    u32 count = 0;

    do {
        digits[count++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number || count < digits_min);
    while (count)
        put(w, digits[--count]);
}

u32 format_list(char *out, u32 capacity_bytes, const char *pattern, va_list args)
{
    struct writer w = {out, 0, capacity_bytes};
    const char *text;

    for (; *pattern; pattern++) {
        if (*pattern != '%') {
            put(&w, *pattern);
            continue;
        }
        switch (*++pattern) {
        case 's':
            for (text = va_arg(args, const char *); *text; text++)
                put(&w, *text);
            break;
        case 'u': put_number(&w, va_arg(args, u32), 10, 1); break;
        case 'x': put_number(&w, va_arg(args, u32), 16, 1); break;
        case 'X': put_number(&w, va_arg(args, u32), 16, 8); break;
        default: put(&w, *pattern); break;
        }
    }
    out[w.used_bytes] = 0;
    return w.used_bytes;
}

u32 format(char *out, u32 capacity_bytes, const char *pattern, ...)
{
    va_list args;
    u32 length;

    va_start(args, pattern);
    length = format_list(out, capacity_bytes, pattern, args);
    va_end(args);
    return length;
}

int word_next(const char **line, char *word, u32 capacity_bytes)
{
    const char *at = *line;
    u32 length = 0;

    while (*at == ' ' || *at == '\t')
        at++;
    if (!*at)
        return 0;
    for (; *at && *at != ' ' && *at != '\t'; at++)
        if (length + 1 < capacity_bytes)
            word[length++] = *at;
    word[length] = 0;
    *line = at;
    return 1;
}

int word_has_key(const char *word, const char *key, const char **value)
{
    while (*key && *key == *word)
        key++, word++;
    if (*key || *word != '=')
        return 0;
    *value = word + 1;
    return 1;
}

int parse_number(const char *text, u32 *number)
{
    u32 value = 0;

    if (!*text)
        return 0;
    for (; *text; text++) {
        u32 digit = (u32)(*text - '0');
        if (digit > 9 || value > (0xFFFFFFFFu - digit) / 10)
            return 0;
        value = value * 10 + digit;
    }
    *number = value;
    return 1;
}
