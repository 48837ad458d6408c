/*
 * The bare program's runtime: see runtime.h.
 * Invariants: interrupts stay off; nothing outside the program's image, its boot information and its module is touched.
 * Source: Multiboot specification 0.6.96, section 3.3; QEMU debugcon and isa-debug-exit.
 */
#include "runtime.h"

enum { INFO_COMMAND_LINE = 1 << 2, INFO_MODULES = 1 << 3, MULTIBOOT_MAGIC = 0x2BADB002 };

struct multiboot_info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
};
struct multiboot_module {
    u32 start, end, string, reserved;
};

const char *command_line = "";
const u8 *module;
u32 module_bytes;
const char *module_text = "";

static void out8(u16 port, u8 value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void out32(u16 port, u32 value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static const char *behind_first_word(const char *text)
{
    while (*text && *text != ' ')
        text++;
    while (*text == ' ')
        text++;
    return text;
}

void runtime_start(u32 magic, const struct multiboot_info *info)
{
    if (magic != MULTIBOOT_MAGIC) {
        console_text("not started by a Multiboot loader\n");
        power_off(0x7F);
    }
    if (info->flags & INFO_COMMAND_LINE)
        command_line = behind_first_word((const char *)info->cmdline);
    if ((info->flags & INFO_MODULES) && info->mods_count > 0) {
        const struct multiboot_module *first = (const struct multiboot_module *)info->mods_addr;
        module = (const u8 *)first->start;
        module_bytes = first->end - first->start;
        if (first->string)
            module_text = behind_first_word((const char *)first->string);
    }
    begin();
}

void console_byte(u8 byte)
{
    out8(0xE9, byte);
}

void console_text(const char *text)
{
    while (*text)
        console_byte((u8)*text++);
}

void console_hex(u32 value)
{
    console_text("0x");
    for (int shift = 28; shift >= 0; shift -= 4)
        console_byte((u8)"0123456789abcdef"[value >> shift & 15]);
}

void console_decimal(u32 value)
{
    if (value >= 10)
        console_decimal(value / 10);
    console_byte((u8)('0' + value % 10));
}

void report_progress(u32 units)
{
    out32(0xE4, units);
}

void power_off(u32 code)
{
    out32(0xF4, code);
    for (const char *c = "Shutdown"; *c; c++)
        out8(0x8900 & 0xFFFF, (u8)*c);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void meter_at(const struct meter *meter)
{
    out32(0xEC, (u32)meter);
}

void meter_section(const char *name)
{
    while (*name)
        out8(0xEA, (u8)*name++);
    out8(0xEA, '\n');
}

u32 text_length(const char *text)
{
    u32 n = 0;
    while (text[n])
        n++;
    return n;
}

int text_has_word(const char *text, const char *word)
{
    while (*text) {
        u32 i = 0;
        while (word[i] && text[i] == word[i])
            i++;
        if (word[i] == 0 && (text[i] == 0 || text[i] == ' '))
            return 1;
        text = behind_first_word(text);
    }
    return 0;
}

void *memcpy(void *to, const void *from, u32 count)
{
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    return start;
}

void *memset(void *to, int value, u32 count)
{
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
    return start;
}
