# Writes the time-stamp counter and reads it back.
.include "head.inc"
_start: mov $10000000,%ecx; 9: loop 9b;  xor %eax,%eax; xor %edx,%edx; mov $0x10,%ecx; wrmsr
 mov $0x20,%al; out %al,$0x80
 rdtsc
 cmp $100000,%eax
 mov $0x4c,%al
 jb 1f
 mov $0x48,%al
1: out %al,$0xe9
 mov $10,%al; out %al,$0xe9
 mov $0,%al; out %al,$0xf4
