/* ESP = 0: the stack wraps to the top of the address space. */
        .include "ends.inc"
main:
        gate 6, done
        xor %esp, %esp
        push $1f
        ret
1:      mov $stack_top, %esp
        jmp done
