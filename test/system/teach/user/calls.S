/* One function for each system call. */
#include "calls.h"
.macro call name, number
.globl \name
\name:
  movl $\number, %eax
  int $64
  ret
.endm
  call fork, CALL_fork
  call exit, CALL_exit
  call wait, CALL_wait
  call kill, CALL_kill
  call getpid, CALL_getpid
  call sbrk, CALL_sbrk
  call sleep, CALL_sleep
  call uptime, CALL_uptime
  call exec, CALL_exec
  call open, CALL_open
  call close, CALL_close
  call read, CALL_read
  call write, CALL_write
  call dup, CALL_dup
  call pipe, CALL_pipe
  call unlink, CALL_unlink
  call size, CALL_size
  call yield, CALL_yield
  call power_off, CALL_power_off
