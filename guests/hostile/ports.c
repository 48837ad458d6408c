/*
 * Writes to every I/O port and reads it, in three widths and with string instructions, in ring 0; then from ring 3, first
 * without permission, then with a permission bit map of its own in its TSS.
 */
#include "hostile.h"
HOSTILE("hostile-ports");

/* These end the machine, print, or report progress. */
static int ends_it(u32 port)
{
    return port == 0xF4 || (port >= 0xE1 && port <= 0xE9) || port == 0x64 || port == 0x60 || port == 0x92 ||
           port == 0xCF9 || (port >= 0xCF6 && port <= 0xCFC) || port == 0x8900 || (port >= 0x3F0 && port < 0x400) ||
           (port >= 0x8F && port <= 0x92) || (port >= 0xF1 && port <= 0xF8) || (port >= 0x88FD && port <= 0x8900);
}
/* These show the time. */
static int tells_time(u32 port) { return (port >= 0x3D && port <= 0x43) || (port >= 0x5E && port <= 0x61) || (port >= 0x6D && port <= 0x71); }

static void write_port(u32 port)
{
    __asm__ volatile("outb %%al, %%dx\n\toutw %%ax, %%dx\n\toutl %%eax, %%dx" : : "a"(0), "d"(port));
}
static u32 value;
static void read_port(u32 port)
{
    u32 byte, word, full;

    __asm__ volatile("inb %%dx, %%al" : "=a"(byte) : "a"(0), "d"(port));
    __asm__ volatile("inw %%dx, %%ax" : "=a"(word) : "a"(0), "d"(port));
    __asm__ volatile("inl %%dx, %%eax" : "=a"(full) : "d"(port));
    value = mix(mix(byte, word), full);
}
static void string_out(u32 from)
{
    u32 count = 8;

    __asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(0x80) : "memory");
}
static void string_in(u32 to)
{
    u32 count = 8;

    __asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(0x500) : "memory");
}
static void user_port(u32 ignored)
{
    u32 port;

    (void)ignored;
    __asm__ volatile("" : "=a"(port));
    __asm__ volatile("outb %%al, %%dx" : : "a"('.'), "d"(port));
    user_end();
}

/* A TSS with a permission bit map behind it: one port is open. */
static u32 wide_tss[26 + 2049] __attribute__((aligned(4096)));

void guest(void)
{
    u32 sum = 0;

    for (u32 port = 0; port < 0x10000; port += port < 0x1000 ? 1 : 0x31) {
        if (ends_it(port)) continue;
        attempt(write_port, port);
        attempt(read_port, port);
        if (!tells_time(port)) sum = mix(sum, value);
    }
    tell("ports", sum);

    sum = mix(0, attempt(string_out, memory_end + 0x100000));
    sum = mix(sum, attempt(string_in, memory_end + 0x100000));
    sum = mix(sum, attempt(string_in, TOP));
    sum = mix(sum, attempt(string_in, (u32)wide_tss));
    tell("strings", mix(sum, wide_tss[0]));

    sum = 0;
    for (u32 port = 0; port < 0x10000; port += 0x101) sum += attempt_user(user_port, port, 0x200000) == GP;
    tell("ring 3 refused", sum);

    for (u32 i = 0; i < 2075; i++) wide_tss[i] = i < 26 ? 0 : 0xFFFFFFFF;
    wide_tss[2] = SEL_DATA;
    wide_tss[25] = 104 << 16;
    wide_tss[26 + 0xE9 / 32] = ~(1u << 0xE9 % 32);
    gdt[8] = descriptor((u32)wide_tss, sizeof wide_tss - 1, 0x89, 0);
    ltr(SEL_FREE);
    wide_tss[1] = (u32)stack_top - 0x1000;
    sum = 0;
    for (u32 port = 0xE8; port < 0xEB; port++) sum = mix(sum, attempt_user(user_port, port, 0x200000));
    print("\n");
    tell("ring 3 with a bit map", sum);
}
