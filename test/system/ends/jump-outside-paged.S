/* The same through a page table, in ring 0 and then in ring 3. */
        .include "ends.inc"
main:
        gate 6, 1f
        gate 14, 3f
        task_register
        paging
        movl $0x10000087, directory + 64
        mov %cr3, %eax
        mov %eax, %cr3
        xor %ebp, %ebp
        mov $0x04000000, %eax
        jmp *%eax
1:      say "undefined\n"
        inc %ebp
        cmp $2, %ebp
        je done
        user 0x04000ffe
3:      say "page fault\n"
        jmp done
