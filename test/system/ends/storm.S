/* A timer at full speed whose interrupts are never acknowledged, and one that is. */
        .include "ends.inc"
main:
        gate 8, 1f
        mov $0x34, %al
        out %al, $0x43
        mov $2, %al
        out %al, $0x40
        mov $0, %al
        out %al, $0x40
        mov $0xfe, %al
        out %al, $0x21
        sti
        mov $200000, %ecx
2:      loop 2b
        cli
        cmpl $5, count
        jb 3f
        jmp done
3:      say "few\n"
        jmp done
1:      push %eax
        mov $0x20, %al
        out %al, $0x20
        incl count
        pop %eax
        iret
        .bss
count:  .skip 4
