# ENDBR32 and reserved NOPs, as compilers emit them by default.
.include "head.inc"
_start: .byte 0xf3,0x0f,0x1e,0xfb
 mov $0x4b,%al
 out %al,$0xe9
 mov $0,%al
 out %al,$0xf4
