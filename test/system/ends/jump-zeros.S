/* A jump into empty memory, and on to the end of it. */
        .include "ends.inc"
main:
        gate 6, done
        mov $0x200000, %ebx
        mov $0x300000, %eax
        mov $0x1000000 - 64, %ecx
        jmp *%ecx
