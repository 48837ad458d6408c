/* Endless recursion into an unmapped page. */
        .include "ends.inc"
main:
        gate 14, done
        gate 8, done
        paging
        mov $0x1000000, %esp
        movl $0, directory + 8
        mov %cr3, %eax
        mov %eax, %cr3
1:      call 1b
