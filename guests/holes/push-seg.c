/* PUSH of a segment register shows the ring in the selector's low bits: ring aliasing. */
#include "hole.h"
HOLE("push-seg");

void guest(void)
{
    u32 code, stack;

    __asm__ volatile("pushl %%cs\n\tpopl %0\n\tpushl %%ss\n\tpopl %1" : "=&r"(code), "=&r"(stack));
    check("CS", SEL_CODE, code & 0xFFFF);
    check("SS", SEL_DATA, stack & 0xFFFF);
}
