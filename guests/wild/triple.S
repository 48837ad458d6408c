/*
 * Triple fault: an exception without a usable IDT, so #DF cannot be delivered either.
 * Expected: the CPU shuts down; a PC resets, a virtual machine must be stopped or reset by its monitor.
 * Source: Intel SDM volume 3, #DF.
 */
#include "wild.inc"
start:
    lidt no_idt
    int3
    print "wild-triple: still alive\n"
    power_off 1
no_idt:
    .word 0
    .long 0
