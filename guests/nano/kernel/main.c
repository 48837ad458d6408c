/*
 * The order in which the kernel comes up, and the one way it goes down.
 * Invariant: multiboot data is copied before the first page is handed out; it may lie anywhere.
 * Source: Multiboot specification 0.6.96, section 3.3; QEMU isa-debug-exit; Bochs power-off port.
 */
#include "nano.h"

#define MULTIBOOT_LOADED 0x2BADB002u
#define MULTIBOOT_HAS_MEMORY 0x1u
#define MULTIBOOT_HAS_CMDLINE 0x4u

#define PORT_EXIT 0xF4
#define PORT_BOCHS_POWER 0x8900

#define RAM_END_MIN (0x00800000u - 0x00100000u) /* 8 MiB, less what firmware may keep at the top */
#define RAM_END_MAX 0x20000000u               /* user space begins at 1 GiB; 512 MiB is our promise */

struct multiboot_info {
    u32 flags;
    u32 mem_lower_kib, mem_upper_kib; /* upper: from 1 MiB to the first hole */
    u32 boot_device;
    const char *cmdline;
};

extern char kernel_end[]; /* kernel.ld */
char command_line[512];
#ifdef NANO_CLEAN
u32 irq_on; /* irq.h */
#endif

void kernel_main(u32 magic, const struct multiboot_info *info)
{
    u32 ram_end = 0x100000u;

    if (magic != MULTIBOOT_LOADED || !(info->flags & MULTIBOOT_HAS_MEMORY))
        panic("no multiboot loader");
    if (info->flags & MULTIBOOT_HAS_CMDLINE)
        text_copy(command_line, info->cmdline, sizeof command_line);
    ram_end += info->mem_upper_kib >= RAM_END_MAX / 1024 ? RAM_END_MAX : info->mem_upper_kib * 1024;
    if (ram_end > RAM_END_MAX)
        ram_end = RAM_END_MAX;
    ram_end &= PTE_FRAME;

    console_init();
    if (ram_end < RAM_END_MIN)
        panic("needs 8 MiB");
    tables_init();
    timer_init();
    page_init((u32)kernel_end, ram_end);
    vm_init(ram_end);
    selfcheck();
    timer_start();
    task_start_first();
    task_idle();
}

/* A mistake in the command line. */
void usage(const char *message)
{
    print("nano: %s\n", message);
    shutdown(EXIT_USAGE);
}

/* Tells the machine to stop: QEMU and hvsim at 0xF4, Bochs at 0x8900, real hardware never. */
void shutdown(u32 code)
{
    const char *word = "Shutdown";

    outl(PORT_EXIT, code);
    while (*word)
        outb(PORT_BOCHS_POWER, (u8)*word++);
    cli();
    for (;;)
        hlt();
}
