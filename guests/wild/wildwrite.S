/*
 * Writes one word to every page of the 4 GiB physical space except its own, without paging.
 * Expected: RAM changes, everything else ignores the write; the monitor's own memory stays as it was.
 */
#include "wild.inc"
start:
    cli
    xorl %edi, %edi
1:  cmpl $0x100000, %edi
    jb 2f
    cmpl $image_end, %edi
    jb 3f
2:  movl %edi, 0x7F0(%edi) /* in the page, but not at its start: registers of devices live there */
3:  addl $4096, %edi
    jnz 1b
    print "wild-wildwrite: ok\n"
    power_off 0
