/* HLT with the trap flag. */
        .include "ends.inc"
main:
        gate 1, 1f
        pushf
        orl $0x100, (%esp)
        popf
        nop
        hlt
        jmp done
1:      incl count
        cmpl $2, count
        jb 2f
        jmp done
2:      iret
        .bss
count:  .skip 4
