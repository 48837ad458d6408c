/* A stack beyond the end of memory: what is pushed is lost. */
        .include "ends.inc"
main:
        gate 6, done
        gate 13, done
        mov $0x10000000, %esp
        call 1f
1:      pop %eax
        pusha
        popa
        int $0x99
        jmp done
