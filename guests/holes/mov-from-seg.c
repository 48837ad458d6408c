/* MOV from a segment register shows the ring in the selector's low bits: ring aliasing. */
#include "hole.h"
HOLE("mov-from-seg");

void guest(void)
{
    u32 code, stack, data;

    __asm__ volatile("movl %%cs, %0\n\tmovl %%ss, %1\n\tmovl %%ds, %2" : "=&r"(code), "=&r"(stack), "=&r"(data));
    check("CS", SEL_CODE, code & 0xFFFF);
    check("SS", SEL_DATA, stack & 0xFFFF);
    check("DS", SEL_DATA, data & 0xFFFF);
}
