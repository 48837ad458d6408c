/* POP to a segment register is checked with the real privilege, and its hidden part must survive a trap. */
#include "hole.h"
HOLE("pop-seg");

static void pop_ds(u32 selector) { __asm__ volatile("pushl %0\n\tpopl %%ds" : : "r"(selector)); }
static void pop_ss(u32 selector) { __asm__ volatile("pushl %0\n\tpopl %%ss" : : "r"(selector)); }
static void read_es(u32 offset) { __asm__ volatile("movl %%es:(%0), %%eax" : : "r"(offset) : "eax"); }

void guest(void)
{
    check("fault of POP SS with RPL 0", 0, fault_of(attempt(pop_ss, SEL_DATA)));
    check("fault of POP DS with RPL 1", GP_OF(SEL_DATA), fault_of(attempt(pop_ds, SEL_DATA | 1)));
    pop_ds(SEL_DATA);
    /* Loaded with a limit of 4 GiB, which a later change of the descriptor does not touch, nor a trap between them. */
    gdt[8] = descriptor(0, 0xFFFFF, 0x93, 0xC);
    __asm__ volatile("pushl %0\n\tpopl %%es" : : "r"(SEL_FREE));
    gdt[8] = descriptor(0, 0, 0x93, 0x4);
    cli();
    check("fault of a use after its descriptor changed", 0, fault_of(attempt(read_es, 0x100000)));
    __asm__ volatile("pushl %0\n\tpopl %%es" : : "r"(SEL_DATA));
}
