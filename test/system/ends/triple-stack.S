/* A stack that runs into unmapped memory: no frame can be pushed. */
        .include "ends.inc"
main:
        gate 14, done
        gate 8, done
        paging
        mov $0x40000000, %esp
        push %eax
        jmp done
