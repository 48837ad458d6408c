/*
 * Puts its interrupt table where a VMM may have its own, at the top of the address space, and interrupts itself.
 * Expected: nothing is there on a bare machine, so the CPU shuts down; a VMM must not deliver through a table of its own.
 */
#include "hostile.h"
HOSTILE("hostile-idt");

void guest(void)
{
    static const struct table_pointer there = {0x7FF, TOP + 0x10000};

    attempts++;
    tell("table at", there.base);
    outl(0xE4, attempts);
    lidt(&there);
    __asm__ volatile("int $0x80" : : : "memory");
    print("%s: still alive\n", guest_name);
    finish(1);
}
