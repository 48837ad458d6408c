/*
 * Reads every I/O port once, byte-wide, then switches off with code 0.
 * Expected: ports without a device read as 0xFF; no read may stop or harm the machine.
 */
#include "wild.inc"
start:
    cli
    xorl %edx, %edx
1:  inb %dx, %al
    incw %dx
    jnz 1b
    print "wild-portscan: ok\n"
    power_off 0
