/* REP STOSB over 4 GiB, with timer interrupts. */
        .include "ends.inc"
main:
        gate 0x20, 1f
        mov $0x11, %al
        out %al, $0x20
        mov $0x20, %al
        out %al, $0x21
        mov $4, %al
        out %al, $0x21
        mov $1, %al
        out %al, $0x21
        mov $0x34, %al
        out %al, $0x43
        mov $0, %al
        out %al, $0x40
        mov $2, %al
        out %al, $0x40
        mov $0xfe, %al
        out %al, $0x21
        sti
        mov $0x200000, %edi
        mov $0xffffffff, %ecx
        rep stosb
        jmp done
1:      push %eax
        mov $0x20, %al
        out %al, $0x20
        incl ticks
        cmpl $5, ticks
        jae done
        pop %eax
        iret
        .bss
ticks:  .skip 4
