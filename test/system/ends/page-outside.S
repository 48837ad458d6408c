/* Pages beyond the end of memory: read, write, add, copy; small and large. */
        .include "ends.inc"
main:
        gate 14, done
        gate 6, done
        paging
        movl $0x10000087, directory + 0x100 * 4
        movl $table + 7, directory + 0x101 * 4
        movl $0x20000007, table
        movl $0x20001007, table + 4
        mov $0x40000000, %ebx
        call 1f
        mov $0x40400000, %ebx
        call 1f
        mov $0x40400ffe, %ebx
        call 1f
        jmp done
1:      movl $5, (%ebx)
        mov (%ebx), %eax
        cmp $-1, %eax
        jne 2f
        addl $5, (%ebx)
        xchg %eax, (%ebx)
        lock incl (%ebx)
        mov %ebx, %esi
        lea 64(%ebx), %edi
        mov $4096, %ecx
        rep movsb
        mov %ebx, %esi
        lea 64(%ebx), %edi
        mov $0x80, %ecx
        rep movsl
        push (%ebx)
        pop (%ebx)
        say "ones\n"
        ret
2:      say "other\n"
        ret
