/*
 * GDT, IDT and TSS: flat segments, one interrupt gate per vector, one task state for the ring 0 stack.
 * Invariants: GDT and IDT share one page and are never written after tables_init; accessed bits are
 *             set from the start, so the CPU has nothing to write there either. The TSS is elsewhere.
 * Source: Intel SDM volume 3, sections on segment, gate and task-state descriptors.
 */
#include "nano.h"

/* Descriptor halves for base 0, limit 4 GiB: only the access byte differs. */
#define FLAT_LOW 0x0000FFFFu
#define FLAT_HIGH(access) (0x00CF0000u | (access) << 8)
#define ACCESS_CODE 0x9Bu /* present, DPL 0, execute/read, accessed */
#define ACCESS_DATA 0x93u /* present, DPL 0, read/write, accessed */
#define ACCESS_DPL3 0x60u
#define ACCESS_TSS 0x89u  /* present, DPL 0, available 32-bit TSS; LTR makes it busy (0x8B) */
#define GATE_INTERRUPT 0x8E00u

struct tables {
    u32 gdt[6][2];
    u32 idt[IDT_COUNT][2];
};

/* The aliases `gdt` and `idt` are set by kernel.ld: the page holds first the one, then the other. */
struct tables tables __attribute__((aligned(PAGE_BYTES), section(".tables"))) = {
    .gdt = {
        {0, 0},
        {FLAT_LOW, FLAT_HIGH(ACCESS_CODE)},
        {FLAT_LOW, FLAT_HIGH(ACCESS_DATA)},
        {FLAT_LOW, FLAT_HIGH(ACCESS_CODE | ACCESS_DPL3)},
        {FLAT_LOW, FLAT_HIGH(ACCESS_DATA | ACCESS_DPL3)},
        {0, 0}, /* TSS: its base is known only at run time */
    },
};

static struct {
    u32 link;
    u32 esp0, ss0;
    u32 unused[22];
    u16 trap, io_map_base;
} tss;

extern char stub_syscall[]; /* entry.S */

static void gate_set(u32 vector, u32 handler, u32 dpl)
{
    idt[vector][0] = SEL_KERNEL_CODE << 16 | (handler & 0xFFFF);
    idt[vector][1] = (handler & 0xFFFF0000u) | GATE_INTERRUPT | dpl << 13;
}

void tables_init(void)
{
    struct table_pointer idt_pointer = {IDT_LIMIT, (u32)idt};
    u32 base = (u32)&tss, limit = sizeof tss - 1;

    for (u32 vector = 0; vector < TRAP_STUB_COUNT; vector++)
        gate_set(vector, trap_stubs[vector], 0);
    gate_set(VECTOR_SYSCALL, (u32)stub_syscall, 3);
    lidt(&idt_pointer);

    tss.ss0 = SEL_KERNEL_DATA;
    tss.io_map_base = sizeof tss; /* beyond the limit: ring 3 gets no port at all */
    gdt[SEL_TSS / 8][0] = base << 16 | limit;
    gdt[SEL_TSS / 8][1] = (base & 0xFF000000u) | ACCESS_TSS << 8 | (base >> 16 & 0xFF);
    lldt(0);
    ltr(SEL_TSS);
}

void tss_set_stack(u32 esp0)
{
    tss.esp0 = esp0;
}
