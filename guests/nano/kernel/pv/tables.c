/*
 * Trap table and kernel stack: what GDT, IDT and TSS are to a kernel that owns the machine.
 * Invariant: every vector but system calls masks events on entry; a system call masks them by its first instruction.
 * Source: our own; docs/paravirtual.md.
 */
#include "../nano.h"

struct trap_entry {
    u32 vector, flags, address;
};

extern char stub_syscall[], stub_event[]; /* entry.S */

static void call(u32 number, u32 a, u32 b)
{
    if (hypercall(number, a, b, 0, 0))
        panic("hypercall refused");
}

void tables_init(void)
{
    static struct trap_entry entries[VECTOR_IRQ0 + 1];

    for (u32 vector = 0; vector < VECTOR_IRQ0; vector++)
        entries[vector] = (struct trap_entry){vector, TRAP_MASKS, trap_stubs[vector]};
    entries[VECTOR_IRQ0] = (struct trap_entry){VECTOR_SYSCALL, TRAP_DPL3, (u32)stub_syscall};
    call(HC_SET_TRAP_TABLE, (u32)entries, ARRAY_LENGTH(entries));
    call(HC_SET_CALLBACKS, (u32)stub_event, 0);
}

void tss_set_stack(u32 esp0)
{
    call(HC_STACK_SWITCH, SEL_PV_KERNEL_DATA, esp0);
}
