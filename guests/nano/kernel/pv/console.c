/*
 * Text out: a line is one hypercall; with `console=serial` byte by byte through the VMM to COM1.
 * Invariant: a line is one critical section, as in the other builds.
 * Source: our own; docs/paravirtual.md.
 */
#include "../nano.h"

#define PORT_COM1 0x3F8

static u32 serial;

void console_init(void)
{
    const char *line = command_line;
    const char *value;
    char word[32];

    while (word_next(&line, word, sizeof word))
        if (word_has_key(word, "console", &value))
            serial = text_equal(value, "serial");
}

static void write_serial(const char *text, u32 length_bytes)
{
    for (u32 i = 0; i < length_bytes; i++)
        outb(PORT_COM1, (u8)text[i]);
}

static void write_debug(const char *text, u32 length_bytes)
{
    while (length_bytes) {
        u32 piece = length_bytes < PAGE_BYTES ? length_bytes : PAGE_BYTES;
        /* The VMM reads only what is there: let a page that is not be brought in here. */
        (void)*(volatile const char *)text;
        (void)*(volatile const char *)(text + piece - 1);
        int written = hypercall(HC_CONSOLE_WRITE, (u32)text, piece, 0, 0);
        if (written != (int)piece)
            break;
        text += piece;
        length_bytes -= piece;
    }
}

void console_write(const char *text, u32 length_bytes)
{
    u32 irq = irq_save();

    if (serial)
        write_serial(text, length_bytes);
    else
        write_debug(text, length_bytes);
    irq_restore(irq);
}

void print(const char *pattern, ...)
{
    char line[160];
    va_list args;
    u32 length;

    va_start(args, pattern);
    length = format_list(line, sizeof line, pattern, args);
    va_end(args);
    console_write(line, length);
}
