/* A hardware breakpoint. */
        .include "ends.inc"
main:
        gate 1, done
        mov $1f, %eax
        mov %eax, %dr0
        mov $0x401, %eax
        mov %eax, %dr7
1:      nop
        jmp 1b
