/*
 * Floods the console: 500 lines, then switches off with code 0.
 * Expected: a monitor that keeps or shows output must bound it, and count one exit per byte.
 */
#include "wild.inc"
start:
    movl $500, %ecx
flood:
    print "wild-console: hello, hello, hello\n"
    decl %ecx
    jnz flood
    power_off 0
