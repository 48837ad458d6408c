/* The first process: linked at 0, copied to a page of its own; replaces itself by the program init. */
#include "../user/calls.h"

.globl first
first:
  pushl $arguments
  pushl $path
  pushl $0 /* where a caller's return address would be */
  movl $CALL_exec, %eax
  int $64
1:
  movl $CALL_exit, %eax
  int $64
  jmp 1b
path:
  .asciz "init"
.balign 4
arguments:
  .long path, 0
