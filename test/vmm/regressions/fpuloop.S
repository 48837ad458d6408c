# Hot floating-point code: the 20000th harmonic number, in a loop whose end FCOMI decides; printed times 10^7.
.include "head.inc"
_start:
  mov $0x300000,%esp
  fninit
  filds last
  fldz
  fld1
1: fld1
  fdiv %st(1),%st
  faddp %st,%st(2)
  fld1
  faddp %st,%st(1)
  fcomi %st(2),%st
  jbe 1b
  fstp %st(0)
  fmuls e7
  fistpl n
  mov n,%eax
  mov $10,%ebx
  xor %ecx,%ecx
2: xor %edx,%edx; div %ebx; push %edx; inc %ecx; test %eax,%eax; jnz 2b
3: pop %eax; add $0x30,%al; out %al,$0xe9; loop 3b
  mov $10,%al; out %al,$0xe9
  mov $0,%al; out %al,$0xf4
.align 4096
last: .word 20000
e7: .float 10000000
n: .long 0
