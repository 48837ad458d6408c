/* A jump beyond the end of memory. */
        .include "ends.inc"
main:
        gate 6, 1f
        mov $0x10000000, %eax
        jmp *%eax
1:      cmpl $0x10000000, (%esp)
        jne 2f
        jmp done
2:      say "elsewhere\n"
        jmp done
