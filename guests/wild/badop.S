/*
 * An undefined instruction while no IDT exists: #UD, then #GP in its delivery, #DF, shutdown.
 * Expected: as wild-triple; a monitor's own decoder must not fall over the bytes.
 * Source: Intel SDM volume 2, UD (0F FF is UD0, 0F 0B is UD2).
 */
#include "wild.inc"
start:
    lidt no_idt
    .byte 0x0F, 0xFF, 0xC0
    .byte 0x0F, 0x0B
    print "wild-badop: still alive\n"
    power_off 1
no_idt:
    .word 0
    .long 0
