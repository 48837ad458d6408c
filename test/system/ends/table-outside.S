/* A page table beyond the end of memory: it reads as ones. */
        .include "ends.inc"
main:
        gate 14, done
        paging
        movl $0x10000007, directory + 0x100 * 4
        mov 0x40000000, %eax
        mov %eax, 0x40000000
        mov %eax, %ebx
        say "read\n"
        cmp $-1, %ebx
        je done
        say "something else\n"
        jmp done
