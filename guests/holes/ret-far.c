/* A far RET is checked with the real privilege: a selector with RPL 0 traps in ring 1, one with RPL 1 passes quietly. */
#include "hole.h"
HOLE("ret-far");

static void return_to(u32 selector)
{
    __asm__ volatile("pushl %0\n\tpushl $1f\n\tlret\n1:" : : "r"(selector) : "memory");
}

void guest(void)
{
    check("fault of a selector with RPL 0", 0, fault_of(attempt(return_to, SEL_CODE)));
    check("fault of a selector with RPL 1", GP_OF(SEL_CODE), fault_of(attempt(return_to, SEL_CODE | 1)));
}
