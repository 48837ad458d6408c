# INSB to a page that was unmapped without INVLPG.
.include "head.inc"
.set PD, 0x200000
.set PT, 0x201000
_start:
  mov $0x300000,%esp
  movl $PT+7, PD
  xor %ecx,%ecx
2: mov %ecx,%eax ; shl $12,%eax; or $7,%eax; mov %eax,PT(,%ecx,4); inc %ecx; cmp $1024,%ecx; jne 2b
  mov $PD,%eax; mov %eax,%cr3
  mov %cr0,%eax; or $0x80000000,%eax; mov %eax,%cr0
  mov $0x21,%dx
  mov $0x280000,%edi
  movl $1,(%edi)
  movl $0, PT+0x280*4
  insb
  mov $0x4b,%al; out %al,$0xe9
  mov $0,%al; out %al,$0xf4
