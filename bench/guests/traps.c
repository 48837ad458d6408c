/*
 * Descriptor tables and what a trap does: add a number (system call), or make a page present again (page fault).
 * Invariant: any other trap is a panic. GDT, IDT and TSS lie on pages that hold no code.
 * Source: Intel SDM volume 3, sections 3.4, 6.11 and 7.2.
 */
#include "bench.h"
#include "system.h"

#define GATE_INTERRUPT 0x8E00
#define GATE_TRAP_USER 0xEF00
#define VECTOR_BYTES 16
#define TSS_BYTES 104

extern u8 trap_vectors[], trap_syscall[], kernel_stack_top[];

u32 tss[TSS_BYTES / 4] __attribute__((aligned(128)));

u32 gdt[12] __attribute__((aligned(8))) = {
    0, 0,
    0x0000FFFF, 0x00CF9B00, /* kernel code */
    0x0000FFFF, 0x00CF9300, /* kernel data */
    0x0000FFFF, 0x00CFFB00, /* user code */
    0x0000FFFF, 0x00CFF300, /* user data */
    0, 0,                   /* TSS */
};

static u32 idt[256 * 2] __attribute__((aligned(8)));

static void set_gate(u32 vector, const u8 *handler, u32 type)
{
    u32 address = (u32)handler;

    idt[2 * vector] = SEL_KERNEL_CODE << 16 | (address & 0xFFFF);
    idt[2 * vector + 1] = (address & 0xFFFF0000) | type;
}

void traps_on(void)
{
    struct __attribute__((packed)) {
        u16 limit;
        u32 base;
    } pointer = {sizeof idt - 1, (u32)idt};
    u32 base = (u32)tss;

    for (u32 vector = 0; vector < 32; vector++)
        set_gate(vector, trap_vectors + VECTOR_BYTES * vector, GATE_INTERRUPT);
    set_gate(VECTOR_SYSCALL, trap_syscall, GATE_TRAP_USER);
    __asm__ volatile("lidt %0" : : "m"(pointer));
    tss[1] = (u32)kernel_stack_top;
    tss[2] = SEL_KERNEL_DATA;
    tss[25] = TSS_BYTES << 16; /* no I/O bitmap */
    gdt[10] = base << 16 | (TSS_BYTES - 1);
    gdt[11] = (base & 0xFF000000) | 0x8900 | (base >> 16 & 0xFF);
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

void trap(struct trapframe *frame)
{
    if (frame->vector == VECTOR_SYSCALL)
        system_call(frame);
    else if (frame->vector == VECTOR_PAGE_FAULT)
        page_fault(frame);
    else
        panic("unexpected trap", frame->vector);
}
