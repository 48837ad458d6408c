/* Interrupts with the controllers as the BIOS leaves them: the timer comes as vector 8. */
        .include "ends.inc"
main:
        gate 8, 1f
        mov $0xfe, %al
        out %al, $0x21
        sti
2:      hlt
        jmp 2b
1:      say "tick\n"
        mov $0x20, %al
        out %al, $0x20
        incl count
        cmpl $3, count
        jae done
        iret
        .bss
count:  .skip 4
