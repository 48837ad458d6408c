/* The same with a gate that is not present: a segment fault by itself, no double fault. */
        .include "ends.inc"
main:
        gate 11, 1f
        mov $0xfe, %al
        out %al, $0x21
        gate 8, done, 0x0e00
        sti
2:      hlt
        jmp 2b
1:      say "not present\n"
        mov (%esp), %eax
        and $0xff, %eax
        cmp $0x43, %eax
        je done
        say "wrong error code\n"
        jmp done
