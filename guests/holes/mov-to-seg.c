/* MOV to a segment register is checked with the real privilege: some loads trap that must not, others pass that must fail. */
#include "hole.h"
HOLE("mov-to-seg");

static void load_ds(u32 selector) { __asm__ volatile("movl %0, %%ds" : : "r"(selector)); }
static void load_ss(u32 selector) { __asm__ volatile("movl %0, %%ss" : : "r"(selector)); }

void guest(void)
{
    check("fault of a load of SS with RPL 0", 0, fault_of(attempt(load_ss, SEL_DATA)));
    check("fault of a load of SS with RPL 1", GP_OF(SEL_DATA), fault_of(attempt(load_ss, SEL_DATA | 1)));
    check("fault of a load of DS with RPL 1", GP_OF(SEL_DATA), fault_of(attempt(load_ds, SEL_DATA | 1)));
    load_ds(SEL_DATA);
}
