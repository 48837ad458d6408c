/* CR3 points beyond the end of memory. */
        .include "ends.inc"
main:
        gate 14, done
        mov $0x10000000, %eax
        mov %eax, %cr3
        mov %cr0, %eax
        or $0x80000000, %eax
        mov %eax, %cr0
        jmp done
