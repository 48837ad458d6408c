/*
 * Text out: the debug port 0xE9, or COM1 with `console=serial`.
 * Invariant: a line is one critical section, so output of tasks never mixes within a line.
 * Source: Bochs port_e9_hack and QEMU debugcon; National PC16550D data sheet (LSR bit 5, THRE).
 */
#include "nano.h"

#define PORT_DEBUG 0xE9
#define PORT_COM1 0x3F8
#define COM1_LINE_CONTROL (PORT_COM1 + 3)
#define COM1_LINE_STATUS (PORT_COM1 + 5)
#define LSR_TRANSMITTER_EMPTY 0x20

static u32 serial;

void console_init(void)
{
    const char *line = command_line;
    const char *value;
    char word[32];

    while (word_next(&line, word, sizeof word))
        if (word_has_key(word, "console", &value))
            serial = text_equal(value, "serial");
    if (!serial)
        return;
    outb(PORT_COM1 + 1, 0x00);           /* no interrupts: we poll */
    outb(COM1_LINE_CONTROL, 0x80);       /* divisor latch */
    outb(PORT_COM1 + 0, 1);              /* 115200 baud */
    outb(PORT_COM1 + 1, 0);
    outb(COM1_LINE_CONTROL, 0x03);       /* 8 bits, no parity, 1 stop bit */
}

static void put_byte(char c)
{
    if (!serial) {
        outb(PORT_DEBUG, (u8)c);
        return;
    }
    while (!(inb(COM1_LINE_STATUS) & LSR_TRANSMITTER_EMPTY))
        ;
    outb(PORT_COM1, (u8)c);
}

void console_write(const char *text, u32 length_bytes)
{
    u32 irq = irq_save();

    for (u32 i = 0; i < length_bytes; i++)
        put_byte(text[i]);
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
